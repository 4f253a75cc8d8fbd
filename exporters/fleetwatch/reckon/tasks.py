"""Tasks: which runs of agents are tasks of their own, what each cost, and who called whom.

A task is a run that is not the repeat of another: where a run lies directly inside one of the same agent, through steps
and LLM calls but no tool, two instrumentations saw one task. The first to come counts; of those that come together the
innermost, for in one process children end and come first. It is the same with tool calls, through steps, and where two
share the provider's id for the call.

What a task cost is settled `grace` after it came. Its dollars are booked once, on the outermost run around it: when
that one is a root, else when nothing came of the trace for `quiet`, since only then nobody is to be expected around
it. What comes later is added then. Flags on the spans say what was done, so that nothing is done twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from fleetwatch.reckon.span_tree import AGENT, CALL, STEP, TOOL, WAITING, Span, Tree

REPEAT = 1
"""Flag of runs and tool calls: the same as another one that is counted."""
SETTLED = 2
"""Flag of runs: what the task cost is told."""
LINKED = 4
"""Flag of runs: the caller is counted as one."""
OPENED = 8
"""Flag of runs: counted as an outermost one."""
MODELLED = 16
"""Flag of runs: counted as an outermost one of a model; then no run that is found around it later is."""
BOOKED = 32
"""Flag of LLM and tool calls: counted in an outermost run."""

OUTERMOST_WAIT = 3600 * 10**9
"""Nanoseconds after which a run counts as outermost even in a trace that never falls quiet."""
UNDECIDED_WAIT = 60 * 10**9
"""Nanoseconds for which a task waits for the decision whether a sighting of a call counts; it takes seconds."""
ASK_AGAIN = 10**9
"""Nanoseconds until it is looked at again."""


class Rules(NamedTuple):
    """When what came is taken as complete, nanoseconds."""

    grace: int
    quiet: int


class Task(NamedTuple):
    """Of one task, sub-agents included. cost: nano-USD."""

    agent: str
    cost: int
    llm_calls: int
    tool_calls: int
    is_unpriced: bool


class Spent(NamedTuple):
    """What came to an outermost run. cost: nano-USD."""

    agent: str
    team: str
    outcome: str
    cost: int


class ModelShare(NamedTuple):
    """What came to an outermost run, for the model that cost most in it. tasks: 1 when it is counted the first time."""

    provider: str
    model: str
    outcome: str
    tasks: int
    cost: int
    tool_calls: int


class Edge(NamedTuple):
    """One agent called another. duration: nanoseconds."""

    source: str
    target: str
    outcome: str
    duration: int


class Settled(NamedTuple):
    """What one look at a trace found.

    flags: span -> its new flags. due: when to look again, 0 for never; since: start of what it will be about.
    """

    tasks: list[Task]
    spent: list[Spent]
    models: list[ModelShare]
    edges: list[Edge]
    flags: dict[bytes, int]
    due: int
    since: int


def repeats(spans: Collection[Span], fresh: Collection[bytes]) -> set[bytes]:
    """Which of the fresh runs and tool calls are repeats. spans: those of their trace, the fresh ones among them."""
    known = {span.span: span for span in spans}
    inside: dict[bytes, list[Span]] = {}
    for span in spans:
        if span.parent in known and span.parent != span.span:
            inside.setdefault(span.parent, []).append(span)
    counted = {
        span.span for span in spans if span.kind in (AGENT, TOOL) and not span.flags & REPEAT and span.span not in fresh
    }
    call_ids = {known[span].call_id for span in counted}
    found = set()
    for span in sorted((known[span] for span in fresh), key=lambda span: (span.at, -span.start, span.span)):
        is_known = span.call_id != 0 and span.call_id in call_ids
        if is_known or any(other in counted for other in _same(span, known, inside)):
            found.add(span.span)
        else:
            counted.add(span.span)
            call_ids.add(span.call_id)
    return found


def _same(span: Span, known: Mapping[bytes, Span], inside: Mapping[bytes, Sequence[Span]]) -> Iterator[bytes]:
    """Runs or tool calls directly above and below that are the same as this one."""
    passed = {span.span}
    above = known.get(span.parent)
    while above is not None and above.span not in passed and (_passes(span, above) or _is_same(span, above)):
        passed.add(above.span)
        if above.kind == span.kind:
            yield above.span
        above = known.get(above.parent)
    below = list(inside.get(span.span, ()))
    while below:
        other = below.pop()
        if other.span not in passed and (_passes(span, other) or _is_same(span, other)):
            passed.add(other.span)
            below += inside.get(other.span, ())
            if other.kind == span.kind:
                yield other.span


def _passes(span: Span, other: Span) -> bool:
    """Whether two of one kind are still directly nested with this one between them."""
    return other.kind == STEP or (span.kind == AGENT and other.kind not in (AGENT, TOOL))


def _is_same(span: Span, other: Span) -> bool:
    if span.kind != other.kind:
        return False
    if span.kind == AGENT:
        return span.agent == other.agent
    return span.what == other.what and (not span.call_id or not other.call_id or span.call_id == other.call_id)


def settle(spans: Sequence[Span], now: int, rules: Rules) -> Settled:
    """Do what can be done for one trace. spans: all that is known of it."""
    return _Settling(spans, now, rules).result()


class _Sums:
    __slots__ = ("cost", "llm_calls", "tool_calls", "undecided", "unpriced")

    def __init__(self) -> None:
        self.cost = self.llm_calls = self.tool_calls = self.undecided = self.unpriced = 0

    def add(self, other: _Sums) -> None:
        self.cost += other.cost
        self.llm_calls += other.llm_calls
        self.tool_calls += other.tool_calls
        self.undecided += other.undecided
        self.unpriced += other.unpriced


class _Settling:
    """One look at one trace."""

    def __init__(self, spans: Sequence[Span], now: int, rules: Rules) -> None:
        self._now = now
        self._rules = rules
        self._tree = Tree(spans)
        self._last = max((span.seen for span in spans), default=0)
        self._flags = {span.span: span.flags for span in spans}
        self._due = self._since = 0
        # Run -> the outermost of the directly nested runs of its agent; and how many of those are counted.
        self._heads = {run.span: self._head(run) for run in self._tree.runs}
        self._members = Counter(self._heads[run.span] for run in self._tree.runs if not run.flags & REPEAT)

    def result(self) -> Settled:
        tree = self._tree
        tasks = self._tasks()
        edges = [edge for run in tree.runs if (edge := self._edge(run)) is not None]
        spent, models = self._book()
        before = {span.span: span.flags for span in tree.spans.values()}
        changed = {span: flags for span, flags in self._flags.items() if flags != before[span]}
        return Settled(tasks, spent, models, edges, changed, self._due, self._since)

    def _head(self, run: Span) -> bytes:
        tree, head, current = self._tree, run, run
        passed = {run.span}
        while (above := tree.spans.get(current.parent)) is not None and above.span not in passed:
            if not _passes(run, above) and not _is_same(run, above):
                break
            passed.add(above.span)
            if above.kind == AGENT:
                head = above
            current = above
        return head.span

    def _tasks(self) -> list[Task]:
        """The tasks that are due, with all that belongs to them."""
        waiting = [run for run in self._tree.runs if not run.flags & (REPEAT | SETTLED)]
        due = [run for run in waiting if not self._is_early(run.start, run.seen + self._rules.grace)]
        if not due:
            return []
        sums = self._inclusive()
        tasks = []
        for run in due:
            # Two sightings of one task: the outer one may hold calls that the inner one does not.
            head = self._heads[run.span]
            total = sums[head if self._members[head] == 1 else run.span]
            if total.undecided and self._is_early(run.start, self._now + ASK_AGAIN):
                continue
            tasks.append(Task(run.agent, total.cost, total.llm_calls, total.tool_calls, total.unpriced > 0))
            self._flags[run.span] |= SETTLED
        return tasks

    def _inclusive(self) -> dict[bytes, _Sums]:
        tree = self._tree
        sums = {run.span: _Sums() for run in tree.runs}
        for span, owner in tree.owner.items():
            item = tree.spans[span]
            mine = sums[owner]
            if item.kind == CALL:
                mine.cost += item.cost
                mine.llm_calls += item.requests
                mine.unpriced += item.is_unpriced
            elif item.kind == TOOL and not item.flags & REPEAT:
                mine.tool_calls += 1
            elif item.kind == WAITING and self._now - item.seen < UNDECIDED_WAIT:
                mine.undecided += 1
        depths = {run: sum(1 for _ in tree.above(run)) for run in sums}
        for run in sorted(sums, key=lambda run: -depths[run]):
            above = tree.owner.get(run)
            if above is not None:
                sums[above].add(sums[run])
        return sums

    def _edge(self, run: Span) -> Edge | None:
        """Who called this task, as soon as that is known."""
        if run.flags & (REPEAT | LINKED):
            return None
        head = self._heads[run.span]
        caller = self._tree.owner.get(head)
        if caller is None:
            return None
        is_certain = self._tree.is_certain(head)
        if not is_certain and not self._is_complete(self._tree.outermost(head), [run]):
            return None
        self._flags[run.span] |= LINKED
        if not is_certain and self._tree.spans[caller].agent == run.agent:
            # Most likely a remote agent, seen by its caller and by itself with requests between that nobody reads.
            return None
        return Edge(self._tree.spans[caller].agent, run.agent, run.outcome, max(run.at - run.start, 0))

    def _is_complete(self, outermost: bytes, about: Sequence[Span]) -> bool:
        """Whether nobody is to be expected around this run any more; else notes when to look again."""
        run = self._tree.spans[outermost]
        due = run.seen + self._rules.grace
        if not self._tree.is_rooted(outermost):
            due = max(due, min(self._last + self._rules.quiet, run.seen + OUTERMOST_WAIT))
        return not self._is_early(min(span.start for span in (run, *about)), due)

    def _is_early(self, start: int, due: int) -> bool:
        """Whether it is too early for what began then; if so, notes when to look again."""
        if due <= self._now:
            return False
        self._due = min(self._due or due, due)
        self._since = min(self._since or start, start)
        return True

    def _book(self) -> tuple[list[Spent], list[ModelShare]]:
        """Book what is not booked yet on the outermost runs that are complete."""
        tree = self._tree
        outermost = {run.span: tree.outermost(run.span) for run in tree.runs}
        around: dict[bytes, list[Span]] = {}
        for span, owner in tree.owner.items():
            item = tree.spans[span]
            if item.kind == CALL or (item.kind == TOOL and not item.flags & REPEAT):
                around.setdefault(outermost[owner], []).append(item)
        modelled = {outermost[run.span] for run in tree.runs if run.flags & MODELLED}
        spent: list[Spent] = []
        models: list[ModelShare] = []
        for run in tree.runs:
            if run.span in tree.owner:
                continue
            items = around.get(run.span, [])
            fresh = [item for item in items if not item.flags & BOOKED]
            if (fresh or not run.flags & OPENED) and self._is_complete(run.span, fresh):
                spent.append(Spent(run.agent, run.team, run.outcome, sum(item.cost for item in fresh)))
                self._flags[run.span] |= OPENED
                models += self._share(run, items, fresh, run.span not in modelled)
        return spent, models

    def _share(self, run: Span, items: Sequence[Span], fresh: Sequence[Span], is_first: bool) -> Iterator[ModelShare]:
        for item in fresh:
            self._flags[item.span] |= BOOKED
        model = _costliest(items)
        if model is not None:
            tools = sum(item.kind == TOOL for item in fresh)
            self._flags[run.span] |= MODELLED
            yield ModelShare(*model, run.outcome, int(is_first), sum(item.cost for item in fresh), tools)


def _costliest(items: Sequence[Span]) -> tuple[str, str] | None:
    """Provider and model that cost most, of equal ones that of most calls; None where no model was called.

    What was booked before decides, so that what comes late goes where the rest went.
    """
    calls = [item for item in items if item.kind == CALL]
    calls = [item for item in calls if item.flags & BOOKED] or calls
    sums: dict[tuple[str, str], list[int]] = {}
    for item in calls:
        mine = sums.setdefault((item.provider, item.model), [0, 0])
        mine[0] += item.cost
        mine[1] += item.requests
    return max(sums, key=lambda model: (sums[model], model), default=None)
