"""Reports of runs and phases: whatever order they come in, and however often, one row comes of them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.runs import (
    JUDGED,
    LATEST,
    MOST,
    MOST_NAMES,
    MOST_TEXT,
    ends_before_start,
    flaw,
    given_up,
    heard_of_run,
    identity,
    merge_phase,
    merge_run,
)
from fleetwatch.records.pipelines import RESULTS, STATES, Phase, PhaseReport, Run, RunReport, Tally, Usage
from support_tasks import SECOND, at

NOW = at(1000)
KEEP = 86_400 * SECOND


def run_report(seconds: float, **fields: object) -> RunReport:
    return RunReport("nightly", "r1", at(seconds), **fields)  # type: ignore[arg-type]


def phase_report(seconds: float, **fields: object) -> PhaseReport:
    values = {"phase": "P01", "at": at(seconds)} | fields
    return PhaseReport("nightly", "r1", "e1", **values)  # type: ignore[arg-type]


def run_of(*reports: RunReport) -> Run:
    run = None
    for report in reports:
        run = merge_run(run, report, NOW)
    assert run is not None
    return run


def phase_of(*reports: PhaseReport, counters: Sequence[str] = ()) -> Phase:
    phase = None
    for report in reports:
        phase = merge_phase(phase, report, NOW, counters.__contains__)
    assert phase is not None
    return phase


# --- any order

_seconds = st.integers(0, 5)
_times = _seconds.map(at)
_maybe = st.none() | _times
_numbers = st.none() | st.integers(0, 3)
_texts = st.sampled_from(["", "a", "b"])
_states = st.sampled_from(["", *STATES])
_results = st.sampled_from(["", "", *RESULTS])
_usages = st.none() | st.builds(Usage, _numbers, _numbers, _numbers, _numbers)
_values = st.sampled_from([0.0, 1.5, 2.0, -1.0])
_pairs = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3)).map(lambda given: tuple(sorted(given.items())))
_signals = st.dictionaries(st.sampled_from("xyz"), _values).map(lambda given: tuple(sorted(given.items())))
_small = st.integers(0, 3)
_tallies = st.none() | st.builds(Tally, _small, _small, _numbers, _small, _small, _small, _pairs, _signals)

run_reports = st.builds(
    run_report, _seconds, state=_states, result=_results, reason=st.sampled_from(["", "completed", "phase"]),
    error_type=_texts, started=_maybe, ended=_maybe, source=st.sampled_from(["", "instrument", "spans"]),
    trace=st.sampled_from([b"", b"t" * 16, b"u" * 16]), host=_texts, version=_texts, interval=_numbers, cores=_numbers,
    usage=_usages,
)  # fmt: skip
phase_reports = st.builds(
    phase_report, _seconds, phase=st.sampled_from(["P01", "P02"]), attempt=st.integers(1, 3), state=_states,
    result=_results, error_type=_texts, started=_maybe, ended=_maybe, span=st.sampled_from([b"", b"s" * 8, b"t" * 8]),
    usage=_usages, tally=_tallies, source=st.sampled_from(["instrument", JUDGED]), host=_texts,
)  # fmt: skip


@given(st.lists(run_reports, min_size=1, max_size=6), st.lists(phase_reports, max_size=3), st.randoms())
def test_a_run_depends_on_what_was_told_and_not_on_how_it_came(
    reports: list[RunReport], phases: list[PhaseReport], chance: random.Random
) -> None:
    told = [(report, False) for report in reports] + [(heard_of_run(phase), True) for phase in phases]

    def merged(items: list[tuple[RunReport, bool]]) -> Run:
        run = None
        for report, heard in items:
            run = merge_run(run, report, NOW, heard=heard)
        assert run is not None
        assert run.ended is None or run.ended >= run.started
        return run

    truth = merged(told)
    again = [*told, *chance.choices(told, k=3)]
    chance.shuffle(again)
    assert merged(again) == truth


@given(st.lists(phase_reports, min_size=1, max_size=6), st.randoms())
def test_so_does_a_phase(reports: list[PhaseReport], chance: random.Random) -> None:
    truth = phase_of(*reports, counters="x")
    assert truth.ended is None or truth.ended >= truth.started
    again = [*reports, *chance.choices(reports, k=3)]
    chance.shuffle(again)
    assert phase_of(*again, counters="x") == truth


# --- what holds


def test_a_run_never_goes_back() -> None:
    run = run_of(run_report(5, state="executing"), run_report(9, state="pending"), run_report(7))
    assert (run.state, run.sent) == ("executing", at(9))


def test_an_end_beats_what_is_told_later() -> None:
    run = run_of(run_report(5, state="ended", result="failure", reason="phase"), run_report(9, state="executing"))
    assert (run.state, run.result, run.reason, run.ended) == ("ended", "failure", "phase", at(5))


def test_of_two_ends_the_later_word_holds() -> None:
    first = run_report(5, result="failure", ended=at(5))
    second = run_report(8, result="success", ended=at(8))
    for run in (run_of(first, second), run_of(second, first)):
        assert (run.result, run.ended, run.corrected) == ("success", at(8), "")


def test_what_was_judged_is_corrected_by_who_was_there() -> None:
    judged = run_report(60, state="ended", result="error", reason="lost", ended=at(20), source=JUDGED)
    told = run_report(40, result="success", reason="completed", started=at(10), ended=at(40), source="instrument")
    given_up_run = run_of(run_report(20, source="instrument"), judged)
    assert given_up_run.is_judged
    assert (given_up_run.seen, given_up_run.sent, given_up_run.source) == (NOW, at(20), "instrument")
    run = merge_run(given_up_run, told, NOW)
    assert (run.result, run.reason, run.ended, run.is_judged, run.corrected) == (
        "success", "completed", at(40), False, "error",
    )  # fmt: skip
    assert merge_run(run, judged, NOW) == run
    assert run_of(told, judged) == run_of(told)


def test_a_start_that_is_told_beats_one_that_is_only_known() -> None:
    assert run_of(run_report(5)).started == at(5)
    assert run_of(run_report(5), run_report(9, started=at(7))).started == at(7)
    assert run_of(run_report(9, started=at(7)), run_report(5), run_report(8, started=at(6))).started == at(6)


def test_a_phase_makes_its_run_known() -> None:
    heard = heard_of_run(phase_report(9, started=at(4), trace=b"t" * 16, host="node-1"))
    run = merge_run(None, heard, NOW, heard=True)
    assert (run.state, run.started, run.is_start_told, run.trace, run.host) == (
        "executing", at(4), False, b"t" * 16, "node-1",
    )  # fmt: skip
    run = merge_run(run, run_report(1, started=at(1), host="node-2", trace=b"u" * 16), NOW)
    assert (run.started, run.is_start_told, run.trace, run.host) == (at(1), True, b"u" * 16, "node-2")


def test_a_clock_that_was_set_back_takes_no_negative_time() -> None:
    report = run_report(9, state="ended", started=at(9), ended=at(3))
    assert ends_before_start(report)
    assert not flaw(report, NOW, KEEP)
    run = run_of(report)
    assert run.started == run.ended == at(9)
    phase = phase_of(phase_report(9, started=at(9)), phase_report(2, ended=at(2)))
    assert phase.started == phase.ended == at(9)


def test_an_end_without_a_result_is_one_by_its_error() -> None:
    assert run_of(run_report(5, state="ended")).result == "success"
    assert run_of(run_report(5, ended=at(5), error_type="OSError")).result == "failure"


def test_sums_are_the_largest_and_gauges_the_last() -> None:
    late = phase_report(9, tally=Tally(items_out=9, expected=80, errors=(("a", 3),), signals=(("c", 5.0), ("g", 1.0))))
    early = phase_report(
        3, tally=Tally(items_out=4, expected=100, errors=(("b", 1),), signals=(("c", 2.0), ("g", 7.0)))
    )
    for phase in (phase_of(late, early, counters="c"), phase_of(early, late, counters="c")):
        assert phase.tally.items_out == 9
        assert phase.tally.expected == 80
        assert phase.tally.errors == (("a", 3), ("b", 1))
        assert phase.tally.signals == (("c", 5.0), ("g", 1.0))
        assert phase.signals_at == (at(9), at(9))


def test_names_of_errors_and_signals_are_bounded() -> None:
    many = tuple((f"{number:05}", 1) for number in range(500))
    phase = phase_of(*(phase_report(1, tally=Tally(errors=(pair,), signals=(pair,))) for pair in reversed(many)))
    assert phase.tally.errors == many[:MOST_NAMES]
    assert [name for name, _ in phase.tally.signals] == [name for name, _ in many[:MOST_NAMES]]
    long = phase_of(phase_report(1, tally=Tally(errors=(("x" * 999, 1),))))
    assert long.tally.errors == (("x" * MOST_TEXT, 1),)


def test_values_that_are_no_numbers_are_no_signals() -> None:
    values = (float("nan"), float("inf"), 1e300, 2.0)
    signals = tuple((f"s{place}", value) for place, value in enumerate(values))
    assert phase_of(phase_report(1, tally=Tally(signals=signals))).tally.signals == (("s3", 2.0),)


def test_phases_end_as_the_run_that_was_given_up_and_are_lost_in_one_that_ended() -> None:
    phase = phase_of(phase_report(4, started=at(4)))
    judged = run_of(run_report(9), run_report(60, result="error", reason="oom_killed", ended=at(9), source=JUDGED))
    lost = merge_phase(phase, given_up(phase, judged), NOW)
    assert (lost.result, lost.reason, lost.ended, lost.is_judged) == ("error", "oom_killed", at(9), True)
    ended = run_of(run_report(8, state="ended", result="success"))
    lost = merge_phase(phase, given_up(phase, ended), NOW)
    assert (lost.result, lost.reason, lost.ended) == ("error", "lost", at(8))
    cut_short = run_of(run_report(8, result="cancellation", reason="reported"))
    assert merge_phase(phase, given_up(phase, cut_short), NOW)[7:9] == ("cancellation", "lost")
    told = merge_phase(lost, phase_report(7, ended=at(7), result="success"), NOW)
    assert (told.result, told.ended, told.is_judged) == ("success", at(7), False)


# --- what is left out


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (run_report(5)._replace(run=""), "malformed"),
        (run_report(5, state="sleeping"), "malformed"),
        (run_report(5, result="ok"), "malformed"),
        (run_report(5, reason="because"), "malformed"),
        (run_report(5, usage=Usage(cpu=-1)), "malformed"),
        (run_report(5, cores=MOST + 1), "malformed"),
        (phase_report(5, phase=""), "malformed"),
        (phase_report(5, attempt=0), "malformed"),
        (phase_report(5, tally=Tally(items_in=-1)), "malformed"),
        (phase_report(5, tally=Tally(errors=(("a", MOST + 1),))), "malformed"),
        (run_report(5, started=-1), "bad_time"),
        (phase_report(5, ended=LATEST), "bad_time"),
        (run_report(-90_000), "too_old"),
        (run_report(-90_000, started=at(0)), ""),
        (phase_report(5)._replace(at=0), ""),
    ],
)
def test_what_makes_no_sense_is_left_out(report: RunReport | PhaseReport, reason: str) -> None:
    assert flaw(report, NOW, KEEP) == reason


def test_a_long_id_is_cut_and_stays_another_one() -> None:
    assert identity("short") == "short"
    first, second = identity("x" * 999 + "1"), identity("x" * 999 + "2")
    assert len(first) == len(second) == MOST_TEXT
    assert first != second
