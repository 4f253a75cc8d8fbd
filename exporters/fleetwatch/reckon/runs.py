"""Runs and phases of pipelines: how reports that come in any order, twice, late or in pieces become one row.

Merging is commutative, associative and idempotent, so the row depends on what was told and not on how it came:

    state            the furthest of pending, executing, finalizing, ended: a run never goes back, so no clock matters
    end              a told one beats a judged one (of somebody who fell silent); of two told ones the later word holds
    start            a told one beats one that is only known from what came; of equals the earliest
    usage, tally     the largest: they are sums so far
    gauges, all else   the last word, and of two at one time the larger

An end before its start is taken as no duration; nothing lasts less.
What a phase tells of its run (that it is under way, since when at the latest) stands behind what the run itself tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from fleetwatch.records.pipelines import (
    FOUND_OUT,
    REASONS,
    RESULTS,
    STATES,
    Phase,
    PhaseReport,
    Run,
    RunReport,
    Tally,
    Usage,
)

JUDGED = "judged"
"""Source of an end that nobody told."""
ENDED = "ended"
LOST = "lost"

TOLD = ("source", "trace", "span", "host", "instance", "version", "interval", "cores")
"""What of a run the last word holds for."""
TOLD_OF_PHASE = ("span", "expected")

MOST = 10**15
"""What a number of a report may be: more is a sender's mistake, and sums of it would outgrow the file's numbers."""
MOST_NAMES = 100
"""Error types and signals kept of one phase: those that come first by name."""
MOST_TEXT = 200
"""Characters of a name or id."""
LATEST = 2**62
"""Unix nanoseconds, the year 2116: what is beyond it is no time."""

_STATES, _RESULTS, _REASONS = {"", *STATES}, {"", *RESULTS}, {"", *REASONS}
_RANKS = {state: rank for rank, state in enumerate(STATES)}
_NEVER = (-1,) * len(TOLD)
_HEARD = 0
"""When what a phase says of its run counts as told: before all that the run itself says."""

Item = TypeVar("Item", Run, Phase)

Counter = Callable[[str], bool]
"""Whether a signal is a sum so far."""


def no_counter(signal: str) -> bool:
    """Of signals that are all values of the moment."""
    del signal
    return False


class _End(NamedTuple):
    """An end; of two the larger one holds."""

    is_told: bool
    at: int
    ended: int
    result: str
    reason: str
    error_type: str


def flaw(report: RunReport | PhaseReport, now: int, keep: int) -> str:
    """Why a report is left out, by the catalogue's words; empty for one that counts. keep: nanoseconds."""
    times = [time for time in (report.at, report.started, report.ended) if time is not None]
    if any(not 0 <= time < LATEST for time in times):
        return "bad_time"
    if not _is_sound(report):
        return "malformed"
    return "too_old" if 0 < max(times) < now - keep else ""


def _is_sound(report: RunReport | PhaseReport) -> bool:
    if not (report.pipeline and report.run):
        return False
    if report.state not in _STATES or report.result not in _RESULTS or report.reason not in _REASONS:
        return False
    if not _are_sums(report.usage or ()):
        return False
    if isinstance(report, RunReport):
        return _are_sums((report.interval, report.cores))
    tally = report.tally or Tally()
    return (
        bool(report.execution and report.phase)
        and 0 < report.attempt <= MOST
        and _are_sums(_sums_of(tally))
        and _are_sums(number for _, number in tally.errors)
    )


def ends_before_start(report: RunReport | PhaseReport) -> bool:
    """Whether a clock was set back while it lasted."""
    return report.started is not None and report.ended is not None and report.ended < report.started


def identity(text: str) -> str:
    """An id of at most MOST_TEXT characters, another one for another text."""
    if len(text) <= MOST_TEXT:
        return text
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
    return f"{text[: MOST_TEXT - 17]}~{digest}"


def heard_of_run(report: PhaseReport) -> RunReport:
    """What a phase says of its run; for `merge_run` with `heard`."""
    return RunReport(
        report.pipeline,
        report.run,
        report.at,
        state="executing",
        started=report.started,
        source=report.source,
        trace=report.trace,
        host=report.host,
    )


def _is_wrong(judged: _End, told: _End) -> bool:
    """Whether the end that was found out is put right by the one that was told, and not only borne out."""
    return judged.reason in FOUND_OUT or judged.result != told.result


def merge_run(run: Run | None, report: RunReport, now: int, *, heard: bool = False) -> Run:
    """The run with what was reported. heard: a phase of it says so. now: Unix nanoseconds, this machine's clock.

    A judged end is no sign of life: it moves neither `seen` nor `sent`.
    """
    if run is None:
        run = new_run(report, now)
    told = None if heard else report.started
    started, is_told = _start(run.started, run.is_start_told, told, _first_known(report))
    end = _end_of(report)
    held = _held(run)
    corrected = run.corrected
    if end is not None and (held is None or end > held):
        if held is not None and end.is_told and not held.is_told and _is_wrong(held, end):
            corrected = held.result
    else:
        end = held
    values = run._replace(
        state=ENDED if end else STATES[max(_RANKS[run.state], _RANKS.get(report.state, 0))],
        started=started,
        is_start_told=is_told,
        corrected=corrected,
    )
    if end is not None:
        values = _with_end(values, end)
    if report.source == JUDGED:
        return values
    values = _with_last_words(values, report, _HEARD if heard else report.at)
    return values._replace(
        # Not the largest: after our clock was set back what came last came now.
        seen=now,
        first_seen=min(run.first_seen, now),
        sent=max(run.sent, report.at),
        usage=_most_usage(run.usage, report.usage),
    )


def merge_phase(phase: Phase | None, report: PhaseReport, now: int, is_counter: Counter = no_counter) -> Phase:
    """The execution of a phase with what was reported. is_counter: of a signal of this phase, by name.

    now: Unix nanoseconds, this machine's clock; stands for the time of a report that has none.
    """
    at = report.at or now
    report = report._replace(at=at)
    if phase is None:
        phase = _new_phase(report)
    started, is_told = _start(phase.started, phase.is_start_told, report.started, _first_known(report))
    end, held = _end_of(report), _held(phase)
    if end is None or (held is not None and held >= end):
        end = held
    told = phase.told
    span = phase.span
    if report.span and (at, report.span) > (told[0], span):
        span, told = report.span, (at, told[1])
    tally, signals_at, told = _with_tally(phase, report.tally, at, told, is_counter)
    phase = phase._replace(
        # Nobody gives one execution two names; should somebody, it has the same one whatever came first.
        phase=min(phase.phase, report.phase),
        subphase=min(phase.subphase, report.subphase),
        attempt=max(phase.attempt, report.attempt),
        state=ENDED if end else STATES[max(_RANKS[phase.state], _RANKS.get(report.state, 0))],
        started=started,
        is_start_told=is_told,
        sent=phase.sent if report.source == JUDGED else max(phase.sent, at),
        span=span,
        usage=_most_usage(phase.usage, report.usage),
        tally=tally,
        signals_at=signals_at,
        told=told,
    )
    return phase if end is None else _with_end(phase, end)


def given_up(phase: Phase, run: Run) -> PhaseReport:
    """The end of a phase that nobody told, when its run has ended.

    As the run where that was given up itself, or was cut short: then its phases were.
    """
    ended = max(phase.started, run.ended or 0)
    result = run.result if run.is_judged or run.result in ("cancellation", "timeout") else "error"
    reason = run.reason if run.is_judged else LOST
    return PhaseReport(
        phase.pipeline, phase.run, phase.execution, phase.phase, phase.subphase,
        at=ended, state=ENDED, result=result, reason=reason, ended=ended, source=JUDGED,
    )  # fmt: skip


def new_run(report: RunReport, now: int) -> Run:
    """The run of a first report, before that is merged."""
    return Run(
        pipeline=report.pipeline, run=report.run, state="pending", result="", reason="", error_type="",
        started=_first_known(report), ended=None, seen=now, sent=0, first_seen=now, interval=None, source="",
        trace=b"", host="", instance="", version="", cores=None, slot=None, settled=False, llm_cost=None, llm_calls=0,
        llm_unpriced=0, machine_cost=None, corrected="", told=_NEVER,
    )  # fmt: skip


def _new_phase(report: PhaseReport) -> Phase:
    return Phase(
        pipeline=report.pipeline, run=report.run, execution=report.execution, phase=report.phase,
        subphase=report.subphase, attempt=report.attempt, state="pending", result="", reason="", error_type="",
        started=_first_known(report), ended=None, sent=0, span=b"", usage=Usage(), tally=Tally(),
        llm_cost=None, machine_cost=None, told=(-1, -1),
    )  # fmt: skip


def _first_known(report: RunReport | PhaseReport) -> int:
    return min(time for time in (report.at, report.started, report.ended) if time is not None)


def _start(started: int, is_told: bool, told: int | None, known: int) -> tuple[int, bool]:
    """Start, and whether it was told. told: by this report; known: when it was under way at the latest."""
    if told is None:
        return (started, True) if is_told else (min(started, known), False)
    return (min(started, told) if is_told else told), True


def _end_of(report: RunReport | PhaseReport) -> _End | None:
    if report.state != ENDED and not report.result and report.ended is None:
        return None
    result = report.result or ("failure" if report.error_type else "success")
    reason = report.reason or "reported"
    ended = report.at if report.ended is None else report.ended
    return _End(report.source != JUDGED, report.at, ended, result, reason, report.error_type[:MOST_TEXT])


def _held(item: Run | Phase) -> _End | None:
    if item.end_told is None:
        return None
    return _End(not item.is_judged, item.end_at, item.end_told, item.result, item.reason, item.error_type)


def _with_end(item: Item, end: _End) -> Item:
    return item._replace(
        result=end.result,
        reason=end.reason,
        error_type=end.error_type,
        ended=max(end.ended, item.started),
        end_told=end.ended,
        end_at=end.at,
        is_judged=not end.is_told,
    )


def _with_last_words(run: Run, report: RunReport, at: int) -> Run:
    changes: dict[str, object] = {}
    told = list(run.told)
    for place, name in enumerate(TOLD):
        value, known = getattr(report, name), getattr(run, name)
        if value is None or value in ("", b"") or at < told[place] or (at == told[place] and value <= known):
            continue
        told[place] = at
        changes[name] = value[:MOST_TEXT] if isinstance(value, str) else value
    return run._replace(told=tuple(told), **changes) if changes else run  # type: ignore[arg-type] # as their fields


def _with_tally(
    phase: Phase, new: Tally | None, at: int, told: tuple[int, ...], is_counter: Counter
) -> tuple[Tally, tuple[int, ...], tuple[int, ...]]:
    """The tally, when each signal was told, and when the rest."""
    old, signals_at = phase.tally, phase.signals_at
    if new is None:
        return old, signals_at, told
    expected = old.expected
    if new.expected is not None and (at, new.expected) > (told[1], expected or 0):
        expected, told = new.expected, (told[0], at)
    signals = old.signals
    if new.signals:
        signals, signals_at = _signals(old.signals, signals_at, new.signals, at, is_counter)
    merged = Tally(
        items_in=max(old.items_in, new.items_in),
        items_out=max(old.items_out, new.items_out),
        expected=expected,
        warnings=max(old.warnings, new.warnings),
        artifacts=max(old.artifacts, new.artifacts),
        artifact_bytes=max(old.artifact_bytes, new.artifact_bytes),
        errors=_most_errors(old.errors, new.errors),
        signals=signals,
    )
    return merged, signals_at, told


def _most_errors(old: tuple[tuple[str, int], ...], new: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    if not new or new == old:
        return old
    most = dict(old)
    for text, number in new:
        name = text[:MOST_TEXT]
        most[name] = max(most.get(name, 0), number)
    return tuple(sorted(most.items())[:MOST_NAMES])


def _signals(
    old: tuple[tuple[str, float], ...],
    old_at: tuple[int, ...],
    new: tuple[tuple[str, float], ...],
    at: int,
    is_counter: Counter,
) -> tuple[tuple[tuple[str, float], ...], tuple[int, ...]]:
    """The signals, sorted, and when each was told."""
    known = {name: (told, value) for (name, value), told in zip(old, old_at, strict=True)}
    for text, value in new:
        name = text[:MOST_TEXT]
        if not math.isfinite(value) or abs(value) > MOST:
            continue
        before = known.get(name)
        if before is None:
            known[name] = (at, value)
        elif is_counter(name):
            known[name] = (max(before[0], at), max(before[1], value))
        else:
            known[name] = max(before, (at, value))
    kept = sorted(known.items())[:MOST_NAMES]
    return tuple((name, value) for name, (_, value) in kept), tuple(told for _, (told, _) in kept)


def _most_usage(old: Usage, new: Usage | None) -> Usage:
    if new is None or new == old:
        return old
    return Usage(*(mine if theirs is None else theirs if mine is None else max(mine, theirs)
                   for mine, theirs in zip(old, new, strict=True)))  # fmt: skip


def _sums_of(tally: Tally) -> tuple[int | None, ...]:
    return (*tally[:2], tally.expected, tally.warnings, tally.artifacts, tally.artifact_bytes)


def _are_sums(numbers: Iterable[int | None]) -> bool:
    return all(number is None or 0 <= number <= MOST for number in numbers)
