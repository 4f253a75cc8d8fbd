"""Whatever a provider answers: what can be understood is taken, the rest is told, and nothing is thrown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.collect.bills import anthropic, openai
from fleetwatch.collect.bills._api import ApiError
from fleetwatch.collect.bills._reading import Reading, Span, clean
from fleetwatch.collect.bills._shelf import iso
from fleetwatch.collect.bills.aws_cost import AwsCost
from fleetwatch.collect.here import BillAccess, Here
from fleetwatch.collect.runner import Denied
from support_bills import DAY, TODAY

SPAN = Span(TODAY - 3, TODAY)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
NUMBERS = st.integers(0, 10) | st.integers() | JSON
MONEY = st.sampled_from(["1", "0.5", "-2", "1e999999999", "NaN"]) | st.decimals() | JSON
TIMES = st.sampled_from([day * DAY for day in range(TODAY - 4, TODAY + 2)]) | st.integers() | JSON
WORDS = st.sampled_from(["a", "b", None, "", "usd", "USD", "priority"]) | JSON
FIELDS: dict[str, Any] = {
    "amount": MONEY | st.fixed_dictionaries({"value": MONEY, "currency": WORDS}),
    "currency": WORDS,
    "project_id": WORDS,
    "line_item": WORDS,
    "workspace_id": WORDS,
    "description": WORDS,
    "service_tier": WORDS,
    "cache_creation": JSON | st.fixed_dictionaries({}, optional={"ephemeral_1h_input_tokens": NUMBERS}),
    **dict.fromkeys(
        ["input_tokens", "input_cached_tokens", "input_uncached_tokens", "output_tokens", "uncached_input_tokens"],
        NUMBERS,
    ),
}
ROWS = st.fixed_dictionaries({}, optional=FIELDS) | JSON
RFC_TIMES = st.sampled_from([f"{iso(day)}T00:00:00Z" for day in range(TODAY - 4, TODAY + 2)]) | WORDS
BUCKETS = st.fixed_dictionaries(
    {},
    optional={
        "start_time": TIMES,
        "end_time": TIMES,
        "starting_at": RFC_TIMES | st.just("0001-01-01T00:00:00+23:59"),
        "ending_at": RFC_TIMES,
        "results": st.lists(ROWS, max_size=3) | JSON,
    },
)
PAGES = st.lists(st.fixed_dictionaries({"data": st.lists(BUCKETS | JSON, max_size=3)}), max_size=3)


class Answering:
    """In place of an interface, behind the checks of JSON and status."""

    def __init__(self, pages: list[dict[str, Any]], failure: Exception | None = None) -> None:
        self._pages, self._failure = pages, failure

    def pages(self, path: str, query: object) -> Iterator[dict[str, Any]]:
        yield from self._pages
        if self._failure is not None:
            raise self._failure


@given(PAGES, st.sampled_from([openai._costs, openai._tokens, anthropic._costs, anthropic._tokens]))
def test_nothing_that_is_json_is_thrown_back(pages: list[dict[str, Any]], read: Callable[[Any, Reading], None]) -> None:
    found = Reading(SPAN)
    found.part(lambda: read(Answering(pages), found))
    for day, rows in found.costs.items():
        assert SPAN.start <= day < SPAN.end
        assert all(isinstance(nano, int) for nano in rows.values())
    for day, (kinds, uncosted) in found.tokens.items():
        assert SPAN.start <= day < SPAN.end
        assert min(kinds.values(), default=0) >= 0
        assert 0 <= uncosted <= sum(kinds.values())


GROUPS = st.fixed_dictionaries(
    {},
    optional={
        "Keys": st.lists(st.sampled_from(["1", "Amazon Bedrock", ""]), max_size=3),
        "Metrics": st.fixed_dictionaries(
            {}, optional={"UnblendedCost": st.fixed_dictionaries({}, optional={"Amount": WORDS, "Unit": WORDS})}
        ),
    },
)
RESULTS = st.fixed_dictionaries(
    {},
    optional={
        "TimePeriod": st.fixed_dictionaries({}, optional={"Start": WORDS | RFC_TIMES, "End": WORDS | RFC_TIMES}),
        "Groups": st.lists(GROUPS, max_size=3),
        "Estimated": st.booleans(),
    },
)


@given(st.lists(st.fixed_dictionaries({}, optional={"ResultsByTime": st.lists(RESULTS, max_size=3)}), max_size=3))
def test_nothing_that_the_sdk_could_parse_is_thrown_back(pages: list[dict[str, Any]]) -> None:
    source = AwsCost(Here(bills={"aws": BillAccess("", 0.0, 0.0, services=("Amazon*",))}))
    source._pages = lambda span: iter(pages)  # type: ignore[method-assign]  # its requests are tested elsewhere
    found = Reading(SPAN)
    found.part(lambda: source.read(found))
    assert all(SPAN.start <= day < SPAN.end for day in found.costs)


AMOUNTS = st.integers(-(10**12), 10**12)
KEYS = st.sampled_from([("a", "x"), ("a", "y"), ("b", "x")])


def page_of(days: dict[int, dict[tuple[str, str], int]]) -> dict[str, Any]:
    """Amounts in cents."""
    return {
        "data": [
            {
                "starting_at": f"{iso(day)}T00:00:00Z",
                "ending_at": f"{iso(day + 1)}T00:00:00Z",
                "results": [
                    {"amount": str(cents), "currency": "USD", "workspace_id": account, "description": line}
                    for (account, line), cents in rows.items()
                ],
            }
            for day, rows in days.items()
        ]
    }


@given(
    st.dictionaries(st.integers(SPAN.start, SPAN.end - 1), st.dictionaries(KEYS, AMOUNTS, max_size=3), max_size=3),
    st.randoms(use_true_random=False),
)
def test_pages_in_any_order_and_any_number_of_times_are_one_bill(
    days: dict[int, dict[tuple[str, str], int]], luck: Any
) -> None:
    pages = [page_of({day: {key: cents}}) for day, rows in days.items() for key, cents in rows.items()]
    pages += [page_of({day: {}}) for day in days]
    pages += luck.choices(pages, k=3) if pages else []
    luck.shuffle(pages)
    found = Reading(SPAN)
    found.part(lambda: anthropic._costs(Answering(pages), found))  # type: ignore[arg-type]  # see Answering
    assert found.problems == []
    assert found.costs == {day: {key: cents * 10**7 for key, cents in rows.items()} for day, rows in days.items()}


def test_rows_of_one_page_with_the_same_names_add_up() -> None:
    found = Reading(SPAN)
    found.bill(TODAY - 1, "here", lambda: [("a", "x", 1), ("a", " x ", 2), ("a", "y", 4)])
    assert dict(found.rows()) == {TODAY - 1: (("a", "x", 3), ("a", "y", 4))}


def test_names_that_are_the_same_when_cut_short_lose_no_money() -> None:
    found = Reading(SPAN)
    for end, nano in (("1", 5), ("2", 7), ("2", 7)):  # each on a page of its own, the last sent twice
        found.bill(TODAY - 1, "here", lambda end=end, nano=nano: [("a", "x" * 200 + end, nano)])  # type: ignore[misc]  # its defaults
    [(_, [row])] = found.rows()
    assert row.nano == 12


def test_a_day_that_was_refused_once_stays_refused() -> None:
    def wrong() -> Iterator[tuple[str, str, int]]:
        yield ("a", "x", 1)
        raise ValueError("no money")

    found = Reading(SPAN)
    for rows in (lambda: [("a", "x", 1)], wrong, lambda: [("a", "x", 2)]):
        found.bill(TODAY - 1, "here", rows)
    assert found.costs == {}
    assert found.problems == ["here: 2026-11-20: no money"]


def test_what_a_part_found_before_it_failed_stays() -> None:
    found = Reading(SPAN)
    page = page_of({TODAY - 1: {("a", "x"): 5}})
    for failure in (ApiError("GET /x: 503", 7.0), Denied("right", "why", "Fix."), ValueError("odd")):
        answering: Any = Answering([page], failure)
        found.part(lambda answering=answering: anthropic._costs(answering, found))  # type: ignore[misc]  # its default
    assert found.costs == {TODAY - 1: {("a", "x"): 5 * 10**7}}
    assert found.problems == ["GET /x: 503", "right is missing: why. Fix.", "odd"]
    assert ([item.permission for item in found.denied], found.wait) == (["right"], 7.0)


@pytest.mark.parametrize(
    ("day", "end"),
    [
        (TODAY - 1.5, TODAY - 0.5),
        (TODAY - 2, TODAY),
        (TODAY, TODAY + 1),
        (TODAY - 4, TODAY - 3),
        (10**400, 10**400 + 1),
    ],
)
def test_other_days_than_those_asked_for_are_refused(day: float, end: float) -> None:
    with pytest.raises(ValueError, match=r"^here: expected buckets of UTC days from 2026-11-18 to 2026-11-20, got "):
        Reading(SPAN).whole_day(day * DAY, end * DAY, "here")


@given(st.text())
def test_names_are_short_and_visible(text: str) -> None:
    found = clean(text)
    assert len(found) <= 120
    assert all(char.isprintable() or char.isspace() or ord(char) > 127 for char in found)
    found.encode("utf-8")
