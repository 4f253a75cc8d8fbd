from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from fleetwatch.dialects.parts.digest import LARGEST, call_id_digest, digest_of, told_digest, with_tool
from support_otlp import any_value

PARIS = '{"city": "Paris", "days": 3}'


@pytest.mark.parametrize(
    "same", ['{"days":3,"city":"Paris"}', ' {"city" : "Paris",\n"days":3 } ', '{"city":"Par\\u0069s","days":3}']
)
def test_json_counts_by_what_it_says(same: str) -> None:
    assert digest_of(same) == digest_of(PARIS)
    assert len(digest_of(PARIS)) == 8


def test_a_structured_value_is_the_same_as_its_json() -> None:
    structured = AnyValue()
    structured.kvlist_value.values.add(key="days").value.int_value = 3
    structured.kvlist_value.values.add(key="city").value.string_value = "Paris"
    assert digest_of(structured) == digest_of(PARIS)
    assert digest_of(any_value(["a", 1, None, True])) == digest_of('["a", 1, null, true]')
    assert digest_of(any_value("sunny")) == digest_of("sunny")


@pytest.mark.parametrize(
    "other",
    ['{"city": "Paris", "days": 4}', '{"city": "paris", "days": 3}', "Paris", '{"city": "Paris", "days": 3', "0" * 64],
)
def test_other_arguments_have_another_digest(other: str) -> None:
    assert digest_of(other) not in {digest_of(PARIS), b""}


def test_nothing_has_no_digest() -> None:
    assert digest_of("") == digest_of(AnyValue()) == b""
    assert with_tool("lookup", b"") == b""


def test_the_tool_is_part_of_its_arguments_digest() -> None:
    assert with_tool("lookup", digest_of("{}")) != with_tool("delete", digest_of("{}"))


def test_a_digest_is_blake2b_of_the_shortest_json_in_the_order_of_keys() -> None:
    """As `b2sum -l 64` has it; so it is the same in every process and on every machine."""
    assert digest_of(PARIS).hex() == "e5ff01932d4a8dd4"


@pytest.mark.parametrize("bad", ["", "0123", "0123456789ABCDEF", "0123456789abcdef0", "0123456789abcdeg", "secret"])
def test_only_a_digest_is_taken_for_one(bad: str) -> None:
    assert told_digest("0123456789abcdef") == bytes.fromhex("0123456789abcdef")
    assert told_digest(bad) == b""


@pytest.mark.parametrize("weak", ["", "0", "call_1", "tool-12", "<not specified>", "functions.search:0", "None", "--"])
def test_an_id_that_counts_from_the_start_is_none(weak: str) -> None:
    """Two agents of one trace would share it, and one call would be lost."""
    assert call_id_digest(weak) == b""


@pytest.mark.parametrize(
    "strong", ["call_VSPygqKTWdrhaFErNvMV18Yl", "toolu_01A09q90qw90lq917835lq9", "D681PevKs", "adk-1b2c3d4e"]
)
def test_a_provider_s_id_has_a_digest(strong: str) -> None:
    assert len(call_id_digest(strong)) == 8


@pytest.mark.parametrize("hostile", ["[" * 50_000, "9" * 5000, '"\\ud800"', "\ud800", "x" * (LARGEST + 1), "NaN"])
def test_hostile_texts_have_a_digest_too(hostile: str) -> None:
    assert len(digest_of(hostile)) == 8


def test_deep_structures_have_a_digest_too() -> None:
    value = any_value("x")
    for _ in range(45):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    assert len(digest_of(value)) == 8


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON, st.randoms())
def test_any_json_has_one_digest_however_it_is_written(value: Any, random: Any) -> None:
    def shuffled(part: Any) -> Any:
        if isinstance(part, dict):
            items = [(key, shuffled(inner)) for key, inner in part.items()]
            random.shuffle(items)
            return dict(items)
        return [shuffled(inner) for inner in part] if isinstance(part, list) else part

    assert digest_of(json.dumps(shuffled(value), indent=random.choice([None, 1]))) == digest_of(json.dumps(value))


@given(st.text(st.characters()))
def test_any_text_has_a_digest_unless_it_is_empty(text: str) -> None:
    assert len(digest_of(text)) == (8 if text else 0)
    assert len(call_id_digest(text.encode("utf-8", "replace").decode())) in {0, 8}
