from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.dialects.parts.text import MAX_TEXT, clean, nano_usd, texts
from support_otlp import any_value, key_values

HOSTILE = {
    'a"b\\c': 'a"b\\c',
    "<!channel> & <b>": "<!channel> & <b>",
    "two\nlines\r\n": "two\ufffdlines",
    "nul\x00": "nul\ufffd",
    "\x1b[31mred": "\ufffd[31mred",
    "c1\x9b": "c1\ufffd",
    "\u202egnirts": "\ufffdgnirts",
    "lone\ud800": "lone\ufffd",
    "  héllo 日本 🙂 ": "héllo 日本 🙂",
    "": "",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_become_visible(text: str) -> None:
    assert clean(text) == HOSTILE[text]


@given(st.text(st.characters()))
def test_a_cleaned_text_is_short_valid_and_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) <= MAX_TEXT
    cleaned.encode()
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in cleaned)
    assert clean(cleaned) == cleaned


def test_texts_keep_the_first_of_equal_keys_and_leave_out_what_is_no_text() -> None:
    assert texts([*key_values({"a": "1", "b": 2, "c": ""}), *key_values({"a": "3"})]) == {"a": "1"}


@given(st.decimals(0, 10**6, places=9))
def test_nine_decimals_of_a_dollar_are_exact(amount: Decimal) -> None:
    assert nano_usd(any_value(f"{amount:f}")) == int(amount * 10**9)


@given(st.integers(0, 10**15))
def test_a_double_counts_as_its_shortest_decimal_text(nano: int) -> None:
    """Fifteen digits survive the way through a double."""
    assert nano_usd(any_value(nano / 10**9)) == nano


def test_less_than_a_nano_dollar_is_rounded_to_the_nearest() -> None:
    assert [nano_usd(any_value(text)) for text in ("0.0000000014", "0.0000000016")] == [1, 2]
