"""Digests: the application's and the receiver's are the same."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.dialects.parts.digest import digest_of
from fleetwatch.instrument.digest import digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_a_value_and_its_json_are_one_and_the_receiver_agrees(value: object) -> None:
    text = json.dumps(value)
    assert digest(value if not isinstance(value, str) else text) == digest(text)
    assert digest_of(text).hex() == digest(text)
    assert digest_of(json.dumps(value, indent=3, ensure_ascii=False)).hex() == digest(text)


@given(st.text(min_size=1))
def test_any_text_has_the_receiver_s_digest(text: str) -> None:
    assert digest_of(text).hex() == digest(text)


def test_the_order_of_keys_and_spaces_do_not_matter_and_values_do() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest('{"b": [1,2],   "a": 1}')
    assert len({digest(value) for value in ({"a": 1}, {"a": 2}, {"b": 1}, [1, 2], [2, 1], "", None, "x")}) == 8


class Plain:
    """Its text is an address in memory."""


class Named:
    def __repr__(self) -> str:
        return "named"


def test_what_json_does_not_know_counts_by_its_text_or_class() -> None:
    assert digest(datetime.date(2026, 1, 2)) == digest("2026-01-02")
    assert digest({"a": Plain()}) == digest({"a": Plain()})
    assert digest({"a": Named()}) == digest({"a": "named"}) != digest({"a": Plain()})
    assert digest({3, 1, 2}) == digest({2, 3, 1})


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 10_000, json.dumps(["x" * 70_000]), '"\\ud800"', '{"a": NaN}'])
def test_hostile_texts_have_a_digest(text: str) -> None:
    assert digest_of(text).hex() == digest(text)


def test_what_has_no_text_at_all_has_a_digest() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert len(digest(loop)) == len(digest({(1, 2): 3})) == 16
