"""Runs and phases as tables for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from fleetwatch.app.told import exact, utc
from fleetwatch.reckon.compare import Difference, Otherwise, compare, otherwise
from fleetwatch.reckon.eta import Past, Prediction
from fleetwatch.reckon.measures import items_of
from fleetwatch.reckon.pulse import SECOND, lead
from fleetwatch.reckon.robust import median
from fleetwatch.records.pipelines import Phase, Run, RunWithPhases

LIST = (
    *("pipeline", "run", "state", "reason", "started", "duration", "phases", "failed", "items"),
    *("cost_usd", "host", "version"),
)
SHOW = (
    *("phase", "state", "started", "duration", "usual", "items", "items_per_s", "errors", "warnings", "artifacts"),
    *("cpu", "memory_peak", "cost_usd"),
)
SPARE = (
    *("version", "host", "phases", "artifacts", "warnings", "memory_peak", "cpu", "items_per_s"),
    *("cost_usd", "items", "started"),
)
"""Columns of LIST and SHOW that a narrow terminal can do without, first those that are missed least."""
COMPARE = ("phase", "measure", "a", "b", "change", "verdict", "why")

_BAD = ("failure", "error", "timeout")
_LEAST_PAST = 5
"""Past runs, below which nobody knows what is usual."""
_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


# --- tables for people


def listed(runs: Iterable[RunWithPhases], now: int) -> list[tuple[object, ...]]:
    """Rows of LIST. now: Unix nanoseconds."""
    return [
        (
            run.pipeline,
            run.run,
            run.result or run.state,
            "" if run.reason in ("completed", "reported") else (run.error_type or run.reason),
            utc(run.started),
            span(_seconds(run, _there(run, now))),
            len({phase.phase for phase in phases}),
            _failed(phases),
            sum(items_of(phase.tally) for phase in phases if not phase.subphase),
            cost(run),
            run.host,
            run.version,
        )
        for run, phases in runs
    ]


def _failed(phases: Sequence[Phase]) -> int:
    """Phases that ended badly: of one that was tried again, the last attempt counts."""
    last: dict[tuple[str, str], int] = {}
    for phase in phases:
        place = phase.phase, phase.subphase
        last[place] = max(last.get(place, 0), phase.attempt)
    bad = (phase for phase in phases if phase.result in _BAD)
    return len({phase.phase for phase in bad if phase.attempt == last[phase.phase, phase.subphase]})


def fitting(
    columns: Sequence[str], rows: Sequence[Sequence[object]], width: int, spare: Sequence[str] = SPARE
) -> tuple[list[str], list[list[object]], list[str]]:
    """(columns, rows, columns left out) of a table that is at most so wide, where that can be. Empty columns go.

    spare: columns that it can do without, first those that are missed least.
    """
    texts = [[name, *(str(row[place]) for row in rows)] for place, name in enumerate(columns)]
    widths = {text[0]: max(map(len, text)) + 2 for text in texts if any(text[1:])}
    left_out = [name for name in spare if sum(widths.values()) > width and widths.pop(name, 0)]
    kept = [(place, name) for place, name in enumerate(columns) if name in widths]
    return [name for _, name in kept], [[row[place] for place, _ in kept] for row in rows], left_out


def counted(runs: Sequence[RunWithPhases]) -> str:
    """`12 runs: 1 executing, 2 failure, 9 success.`"""
    words = [run.result or run.state for run, _ in runs]
    return f"{len(words)} runs: {', '.join(f'{words.count(word)} {word}' for word in sorted(set(words)))}."


def shown(found: RunWithPhases, history: Sequence[RunWithPhases], now: int) -> list[tuple[object, ...]]:
    """Rows of SHOW: parts below their phase, a further attempt with its number."""
    usual, now = _usual(history), _there(found.run, now)
    rows: list[tuple[object, ...]] = []
    for phase in _in_order(found.phases):
        took = _seconds(phase, now)
        before = usual.get((phase.phase, phase.subphase))
        tally, items = phase.tally, items_of(phase.tally)
        name = f"  {phase.subphase}" if phase.subphase else phase.phase
        rows.append(
            (
                f"{name} #{phase.attempt}" if phase.attempt > 1 else name,
                (phase.result or phase.state)
                + (f": {phase.error_type or phase.reason}" if phase.result in _BAD else ""),
                utc(phase.started),
                span(took),
                "" if before is None else f"{span(before)} ({_times(took, before)})",
                f"{items}/{tally.expected}" if tally.expected else items or "",
                f"{items / took:,.4g}" if items and took else "",
                ", ".join(f"{kind} {number}" for kind, number in tally.errors),
                tally.warnings or "",
                f"{tally.artifacts} ({size(tally.artifact_bytes)})" if tally.artifacts else "",
                "" if phase.usage.cpu is None else span(phase.usage.cpu / SECOND),
                "" if phase.usage.memory_peak is None else size(phase.usage.memory_peak),
                "" if phase.llm_cost is phase.machine_cost is None else cost(phase),
            )
        )
    return rows


def told(found: RunWithPhases, history: Sequence[RunWithPhases], now: int) -> Iterator[str]:
    """What is to be said of a run above its table, line by line."""
    run, _ = found
    now = _there(run, now)
    word = run.result or run.state
    why = (
        f" ({run.reason}{f', {run.error_type}' if run.error_type else ''})"
        if run.reason not in ("", "completed")
        else ""
    )
    yield f"{run.pipeline} {run.run}: {word}{why}, {span(_seconds(run, now))}, since {utc(run.started)}"
    where = ", ".join(f"{name} {value}" for name, value in (("host", run.host), ("version", run.version)) if value)
    if where:
        yield where
    if run.corrected:
        yield f"It was taken for lost and counted as {run.corrected}; its real end came later."
    if run.ended is None:
        yield _expected(Past.of(history).predict(found, now))
    yield _priced(run)
    own = [phase for phase in found.phases if not phase.subphase]
    signals = [(phase, name, value) for phase in own for name, value in phase.tally.signals]
    if signals:
        yield "Signals: " + ", ".join(f"{phase.phase} {name} = {value:g}" for phase, name, value in signals)


def _expected(prediction: Prediction | None) -> str:
    if prediction is None:
        return "When it will be done is not known: fewer than 5 runs of this pipeline have ended well."
    if prediction.overdue:
        return f"Overdue by {span(prediction.overdue / SECOND)}: nine of ten past runs were done by now."
    left = prediction.run
    return (
        f"Done in about {span(left.p50 / SECOND)}, with 90 % within {span(left.p90 / SECOND)} "
        f"({prediction.past_runs} past runs)"
    )


def _priced(run: Run) -> str:
    if not run.settled:
        return "Cost: not settled yet." if run.ended is not None else "Cost: told when it has ended."
    llm = "not known" if run.llm_cost is None else f"{exact(run.llm_cost)} USD in {run.llm_calls} calls"
    if run.llm_unpriced:
        llm += f", at least: {run.llm_unpriced} calls have no known price"
    machine = "not known" if run.machine_cost is None else f"{exact(run.machine_cost)} USD"
    return f"Cost: LLM {llm}; machine {machine}."


def compared(
    a: RunWithPhases, b: RunWithPhases, history: Sequence[RunWithPhases], *, everything: bool
) -> tuple[list[tuple[object, ...]], list[str]]:
    """(rows of COMPARE, what else differs in words). everything: also what is noise."""
    found = compare(a, b, history)
    rows = [_difference(item) for item in found if everything or item.verdict != "noise"]
    return rows, [_other(item) for item in otherwise(a, b)]


def _difference(item: Difference) -> tuple[object, ...]:
    a, b = ("" if value is None else _measured(item.measure, value) for value in (item.a, item.b))
    change = "" if item.change is None else f"{item.change - 1:+.0%}"
    return item.phase or "(run)", item.measure, a, b, change, item.verdict, item.why


def _measured(measure: str, value: float) -> str:
    """With its unit; see reckon.measures."""
    if measure in ("duration", "cpu"):
        return span(value)
    if measure == "memory":
        return size(round(value))
    return {"throughput": f"{value:,.4g}/s", "error_rate": f"{value:.4g} per item", "cost": f"{value:.6f} USD"}[measure]


def _other(item: Otherwise) -> str:
    of = f" of {item.phase}" if item.phase else ""
    if item.what == "phase":
        return f"{item.phase} is only in {'a' if item.a == 'yes' else 'b'}"
    return f"{item.what}{of}: {item.a or 'none'} -> {item.b or 'none'}"


# --- how values are told


def span(seconds: float) -> str:
    """`0.42 s`, `12.3 s`, `4 min 05 s`, `2 h 07 min`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int) -> str:
    """Bytes: `512 B`, `1.2 MB`."""
    return next((f"{count / factor:.3g} {unit}" for unit, factor in _UNITS if count >= factor), f"{count} B")


def cost(of: Run | Phase) -> str:
    """What is known of LLM calls and machine together; `at least` where a call has no price."""
    known = [part for part in (of.llm_cost, of.machine_cost) if part is not None]
    if not known:
        return "not known" if of.ended is not None else ""
    return ("at least " if isinstance(of, Run) and of.llm_unpriced else "") + f"{Decimal(sum(known)).scaleb(-9):.6f}"


def _seconds(of: Run | Phase, now: int) -> float:
    return max(0, (of.ended if of.ended is not None else now) - of.started) / SECOND


def _there(run: Run, now: int) -> int:
    """Now by the clock that told when the run began."""
    return now - lead(run.started, run.first_seen, run.sent, run.seen)


def _times(value: float, usual: float) -> str:
    return f"{value / usual - 1:+.0%}" if usual else "new"


def _usual(history: Sequence[RunWithPhases]) -> dict[tuple[str, str], float]:
    """Median seconds of phases and parts that ended well."""
    found: dict[tuple[str, str], list[float]] = {}
    for _, phases in history:
        for phase in phases:
            if phase.result == "success" and phase.ended is not None:
                found.setdefault((phase.phase, phase.subphase), []).append(_seconds(phase, 0))
    return {name: median(values) for name, values in found.items() if len(values) >= _LEAST_PAST}


def _in_order(phases: Sequence[Phase]) -> list[Phase]:
    """Phases by start, each followed by its parts."""
    own = [phase for phase in phases if not phase.subphase]
    first = {phase.phase: place for place, phase in reversed(list(enumerate(own)))}

    def place(phase: Phase) -> tuple[int, bool, int]:
        return first.get(phase.phase, len(own)), bool(phase.subphase), phase.started

    return sorted(phases, key=place)
