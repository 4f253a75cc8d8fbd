"""What phases count: exact from many threads, bounded, and deaf to nonsense."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.instrument import Phase, names
from fleetwatch.instrument.counting import Counting
from support_instrument import Application


def test_no_count_is_lost_between_threads() -> None:
    outer = Counting()
    part = Counting(outer)

    def work() -> None:
        for _ in range(20_000):
            part.items()
            part.count("x")
            part.error("E")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in (part, outer):
        assert (each.items_out, each.signals, each.errors) == (80_000, {"x": 80_000.0}, {"E": 80_000})


def test_an_exception_that_was_counted_and_then_leaves_counts_once() -> None:
    app = Application()
    error = ValueError("x")

    def job() -> None:
        with app.pipeline() as run, run.phase("P03") as p, p.part("load") as part:
            part.error(error)
            raise error

    with pytest.raises(ValueError, match="x"):
        job()
    assert app.told("load")[names.ERRORS] == app.told("P03")[names.ERRORS] == ("ValueError=1",)


def test_an_exception_that_leaves_two_phases_is_an_error_of_both() -> None:
    app = Application()
    with pytest.raises(ValueError, match="x"), app.pipeline() as run, run.phase("outer"), run.phase("inner"):
        raise ValueError("x")
    assert app.told("outer")[names.ERRORS] == app.told("inner")[names.ERRORS] == ("ValueError=1",)


def test_names_are_bounded_in_number_and_length() -> None:
    count = Counting()
    for number in range(1000):
        count.error(f"type {number}" * 100)
        count.count(f"signal {number}")
    assert len(count.errors) == len(count.signals) == 51
    assert count.errors[names.OTHER] == count.signals[names.OTHER] == 950
    assert max(map(len, count.errors)) == 100


def test_a_file_s_size_is_looked_up_and_its_name_is_told_to_nobody(tmp_path: Path) -> None:
    app = Application()
    file = tmp_path / "private.csv"
    file.write_bytes(b"12345")
    with app.pipeline() as run, run.phase("P03") as p:
        p.artifact(file)
        p.artifact(str(tmp_path / "gone"))
        p.artifact("s3://bucket/private.csv", size=7)
        p.artifact()
    told = app.told("P03")
    assert (told[names.ARTIFACTS], told[names.ARTIFACT_SIZE]) == (4, 12)
    assert "private" not in str([span.to_json() for span in app.spans])


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError

    def __int__(self) -> int:
        raise RuntimeError

    def __float__(self) -> float:
        raise RuntimeError


ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers()),
    st.builds(Hostile), st.builds(ValueError, st.text()),
)  # fmt: skip


@given(st.lists(st.tuples(ANYTHING, ANYTHING), max_size=5))
def test_nothing_that_is_said_raises_and_all_can_be_sent(said: list[tuple[Any, Any]]) -> None:
    app = Application()
    with app.pipeline() as run, run.phase("P03") as p:
        for one, two in said:
            p.items(one, two)
            p.expect(one)
            p.error(one, two)
            p.warning(one)
            p.artifact(one, size=two)
            p.signal(one, two)
            p.count(one, two)
        app.beat()
    span = app.traces().resource_spans[0].scope_spans[0].spans[0]
    assert span.name == "P03"


@pytest.mark.parametrize("n", [0, -1, -(10**30), "x", None, float("nan"), float("inf")])
def test_what_is_no_number_of_items_counts_nothing(n: Any) -> None:
    count = Counting()
    count.items(n)
    count.warning(n)
    assert (count.items_out, count.warnings) == (0, 0)


def test_numbers_of_other_libraries_count() -> None:
    class Int64:
        def __int__(self) -> int:
            return 7

    phase: Any = Phase(None, "x")
    phase.items(Int64())
    phase.items(2.0)
    phase.items(True)
    assert phase.items_out == 10


def test_sums_past_what_can_be_sent_stay_there() -> None:
    app = Application()
    with app.pipeline() as run, run.phase("P03") as p:
        for _ in range(3):
            p.items(2**62)
            p.count("x", 1.5e308)
        app.beat()
    assert app.told("P03")[names.ITEMS_OUT] == 2**63 - 1
    assert app.told("P03")[names.SIGNALS] == ("x=1.5e+308",)
