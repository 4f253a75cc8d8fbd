"""What a run of a pipeline cost, and its phases: LLM calls by the tree of its trace, and the share of its machine.

An LLM call belongs to the nearest phase above it by the chain of parents; where the chain breaks at a span that nobody
reads, to the innermost phase that contains it in time, and to the run alone where that is not one phase. It is the same
with runs inside runs of one trace. See reckon.span_tree; what is a run or a phase here stands there for an agent's run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import NamedTuple

from fleetwatch.reckon.span_tree import AGENT, CALL, STEP, TOOL, Span, Tree
from fleetwatch.records.pipelines import Phase, Run, RunWithPhases

HOUR = 3600 * 10**9
_NO_AGENT = "\0"
"""Of phases: no call has an agent of that name, so that parallel phases are not told apart by names."""

Owner = tuple[str, str, str]
"""Pipeline, run, and execution of a phase; that is empty where a call is the run's alone."""


class MachineRule(NamedTuple):
    """What machines cost whose name fits the pattern. whole: a run is charged all of its machine, not a share."""

    host: str
    nano_usd_per_hour: int
    whole: bool = False


def price_of(host: str, rules: Sequence[MachineRule]) -> MachineRule | None:
    """The first rule that fits a machine's name; None where it is not known."""
    return next((rule for rule in rules if host and fnmatchcase(host, rule.host)), None)


def machine_cost(item: RunWithPhases, rule: MachineRule | None) -> tuple[int | None, dict[str, int | None]]:
    """Nano-USD of an ended run, and of each execution of a phase; None where it cannot be known.

    By processors: price x processor time / (processors x 1 h); of a run that told none, the sum of its phases. Whole:
    price x duration; phases share the time in which several were under way.
    """
    run, phases = item.run, [phase for phase in item.phases if not phase.subphase]
    if rule is None or run.ended is None:
        return None, {}
    price = rule.nano_usd_per_hour
    if rule.whole:
        shares = _shares(phases)
        costs = {phase.execution: _rounded(price * shares[phase.execution], HOUR) for phase in phases}
        return _rounded(price * (run.ended - run.started), HOUR), {**costs}
    if not run.cores:
        return None, {}
    spent = [phase.usage.cpu for phase in phases if phase.usage.cpu is not None]
    cpu = run.usage.cpu if run.usage.cpu is not None else sum(spent) if spent else None
    if cpu is None:
        return None, {}
    most = run.cores * (run.ended - run.started)
    parts = {
        phase.execution: None if phase.usage.cpu is None else _rounded(price * phase.usage.cpu, run.cores * HOUR)
        for phase in phases
    }
    # More than all of the machine is a clock that was set back, or processes elsewhere.
    return _rounded(price * (min(cpu, most) if most else cpu), run.cores * HOUR), parts


def _rounded(amount: int, divisor: int) -> int:
    return (2 * amount + divisor) // (2 * divisor)


def _shares(phases: Sequence[Phase]) -> dict[str, int]:
    """Nanoseconds of each phase, those of several at once divided among them."""
    shares = {phase.execution: 0 for phase in phases}
    ends = [(phase.started, True, phase.execution) for phase in phases if phase.ended is not None]
    ends += [(phase.ended, False, phase.execution) for phase in phases if phase.ended is not None]
    active: dict[str, None] = {}
    before = 0
    for time, begins, execution in sorted(ends):
        for each in active:
            shares[each] += (time - before) // len(active)
        before = time
        if begins:
            active[execution] = None
        else:
            active.pop(execution, None)
    return shares


def owners(spans: Sequence[Span], runs: Sequence[RunWithPhases], now: int) -> dict[bytes, Owner]:
    """Span of an LLM call -> whose it is. spans: of one trace; runs: all whose trace it is, at least one.

    now: when what is under way ends at the earliest.
    """
    known = {span.span: span._replace(kind=STEP) if span.kind in (AGENT, TOOL) else span for span in spans}
    whose: dict[bytes, Owner] = {}
    for item in runs:
        run = item.run
        top = run.span or _pseudo(run.pipeline, run.run)
        known[top] = _place(top, known.get(top), b"", run, now)
        whose[top] = (run.pipeline, run.run, "")
        for phase in item.phases:
            if phase.subphase:
                continue
            span = phase.span or _pseudo(phase.pipeline, phase.run, phase.execution)
            known[span] = _place(span, known.get(span), top, phase, now)
            whose[span] = (phase.pipeline, phase.run, phase.execution)
    tree = Tree(known.values())
    calls = [span for span in known.values() if span.kind == CALL]
    first = min(runs, key=lambda item: (item.run.started, item.run.run)).run
    nobody = (first.pipeline, first.run, "")
    return {call.span: _owner(tree, call, whose, nobody) for call in calls}


def _owner(tree: Tree, call: Span, whose: Mapping[bytes, Owner], nobody: Owner) -> Owner:
    found = tree.owner.get(call.span)
    return nobody if found is None else whose[found]


def _place(span: bytes, known: Span | None, above: bytes, item: Run | Phase, now: int) -> Span:
    parent = known.parent if known is not None and known.parent else above
    ended = now if item.ended is None else item.ended
    return Span(span, parent, AGENT, item.started, max(ended, item.started), 0, _NO_AGENT, "", "", "", 0)


def _pseudo(*names: str) -> bytes:
    """A span id for what has none."""
    return blake2b("\0".join(names).encode(errors="surrogatepass"), digest_size=8).digest()
