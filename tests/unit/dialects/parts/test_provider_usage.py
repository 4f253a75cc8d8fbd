from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.parts.provider_usage import from_python, put_parts


def parts(usage: object) -> dict[str, int]:
    span = Span()
    put_parts(span, usage)
    return {item.key: item.value.int_value for item in span.attributes}


def test_parts_are_found_wherever_a_provider_tells_them() -> None:
    chat = {"prompt_tokens_details": {"cached_tokens": 1920}, "completion_tokens_details": {"reasoning_tokens": 64}}
    assert parts(chat) == {
        "gen_ai.usage.cache_read.input_tokens": 1920,
        "gen_ai.usage.reasoning.output_tokens": 64,
    }
    assert parts({"cache_read_input_tokens": 7}) == {"gen_ai.usage.cache_read.input_tokens": 7}


@pytest.mark.parametrize("told", [True, False, None, 0, 1.5, "7", [1920], {"cached_tokens": 1920}, float("nan")])
def test_what_is_no_count_is_left_out(told: object) -> None:
    assert parts({"prompt_tokens_details": {"cached_tokens": told}}) == {}
    assert parts(told) == {}


def test_a_count_that_no_attribute_holds_is_one_that_its_reader_refuses() -> None:
    assert parts({"cache_read_input_tokens": 10**30}) == {"gen_ai.usage.cache_read.input_tokens": 2**62}
    assert parts({"cache_read_input_tokens": -(10**30)}) == {"gen_ai.usage.cache_read.input_tokens": -(2**62)}


@pytest.mark.parametrize("text", ["", "{", "(" * 4000, "[" * 4000, "9" * 4000, "{[]: 1}", "f()", "{'a': 1}" * 1000])
def test_a_text_that_is_no_dictionary_tells_no_parts(text: str) -> None:
    assert parts(from_python(text)) == {}
