"""Agents that run in circles: one tool call with one set of arguments, over and over, in one task.

Calls are grouped into turns: calls that overlap in time were made together and are one turn, whatever their number. A
streak is a run of turns with the same calls. It starts anew
- when a turn differs,
- after a deliberate wait: POLL_GAP without any work, neither of a tool nor of a model, is polling,
- when a call that succeeded gives another result than the same call before: it makes progress.

Calls are compared by digests of tool and arguments; texts are never seen here. Times are Unix nanoseconds. Spans come
late and out of order, so a task's recent calls are kept by start and judged anew when more come.
"""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall

SECOND = 10**9
POLL_GAP = 5 * SECOND
"""Work of a model between two calls takes seconds, but is seen as such; nothing at all for so long is a timer."""
QUIET = 300 * SECOND
"""A task of which nothing was heard for so long is over, or somebody else's alert."""
ENDED = 60 * SECOND
"""How long a task that has ended is still shown: four scrapes see what went on in it."""
MOST_TASKS = 10_000
MOST_CALLS = 256
"""Remembered of one task; a streak is shown up to this length."""


T = TypeVar("T", bound=tuple[Any, ...])


class _Did(NamedTuple):
    """One tool call, ordered by its start."""

    start: int
    end: int
    digest: bytes
    result: bytes
    is_ok: bool
    tool: str


class _Turn(NamedTuple):
    """Calls that overlap. results: by digest; empty where unknown or failed."""

    start: int
    end: int
    digests: frozenset[bytes]
    results: dict[bytes, bytes]
    tool: str


class Streak(NamedTuple):
    """The last run of equal turns of a task. length: 0 for a task without tool calls; tool: of its last call."""

    length: int
    tool: str


NO_STREAK = Streak(0, "")


class _Task:
    """What is remembered of one agent's part in one trace."""

    __slots__ = ("_streak", "agent", "calls", "ended", "heard", "llm_calls", "told", "work")

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.calls: list[_Did] = []
        self.work: list[tuple[int, int]] = []
        """Start and end of LLM calls."""
        self.llm_calls = 0
        self.heard = 0
        self.ended = 0
        """When its last run ended; 0 while one is under way."""
        self.told = False
        """Whether the present streak was counted as a loop."""
        self._streak: Streak | None = NO_STREAK

    def did(self, call: _Did) -> None:
        _remember(self.calls, call)
        self._streak = None

    def worked(self, start: int, end: int) -> None:
        # Most tasks call no tools: of those the last few will do for a tool call that comes later.
        _remember(self.work, (start, end), MOST_CALLS if self.calls else 8)
        self._streak = None

    @property
    def streak(self) -> Streak:
        if self._streak is None:
            self._streak = streak_of(self.calls, self.work)
        return self._streak


class Seen(NamedTuple):
    """What an agent's running tasks show: the longest streak, and the most LLM calls of one."""

    streak: int
    llm_calls: int


class Watch:
    """Follows the tasks of all agents. limit: turns from which on a streak is a loop. Not for several threads."""

    def __init__(self, limit: int, most: int = MOST_TASKS) -> None:
        self._limit = limit
        self._most = most
        self._tasks: OrderedDict[tuple[bytes, str], _Task] = OrderedDict()

    def hear(
        self, calls: Iterable[LlmCall], tools: Iterable[ToolCall], runs: Iterable[AgentRun], now: int
    ) -> list[tuple[str, str]]:
        """Take what was counted for the first time; returns (agent, tool) of streaks that have become loops."""
        touched: dict[int, _Task] = {}
        for tool in tools:
            # A tool call that is a trace of its own is one of a row of such: its task is its agent's.
            task = self._task(tool.span[:16] if tool.parent else b"", tool.agent, tool.start, now)
            # Without arguments nobody can tell whether two calls are the same.
            if tool.arguments:
                is_ok = tool.outcome == "ok"
                task.did(_Did(tool.start, tool.at, tool.arguments, tool.result, is_ok, tool.tool))
                touched[id(task)] = task
        for call in calls:
            if call.parent:
                task = self._task(call.span[:16], call.agent, call.at - (call.duration or 0), now)
                task.llm_calls += call.requests
                if call.duration is not None:
                    task.worked(call.at - call.duration, call.at)
        loops = [found for task in touched.values() if (found := self._loop(task)) is not None]
        for run in runs:
            known = self._tasks.get((run.span[:16], run.agent))
            if known is not None:
                known.ended = max(known.ended, run.at)
        return loops

    def seen(self, now: int) -> dict[str, Seen]:
        """By agent, of tasks that are under way; forgets those that are over."""
        for key, task in list(self._tasks.items()):
            if now - task.heard >= (ENDED if task.ended else QUIET):
                del self._tasks[key]
        found: dict[str, Seen] = {}
        for task in self._tasks.values():
            streak, llm_calls = found.get(task.agent, Seen(0, 0))
            found[task.agent] = Seen(
                max(streak, task.streak.length),
                llm_calls if task.ended else max(llm_calls, task.llm_calls),
            )
        return found

    def _task(self, trace: bytes, agent: str, start: int, now: int) -> _Task:
        """The task in which something began at `start`."""
        key = (trace, agent)
        task = self._tasks.get(key)
        if task is None:
            if len(self._tasks) >= self._most:
                self._tasks.popitem(last=False)
            task = self._tasks[key] = _Task(agent)
        if task.ended and start >= task.ended:
            # A sub-agent is called again: its calls are another run's. It may repeat what it did in the one before.
            task.ended, task.llm_calls = 0, 0
        task.heard = now
        self._tasks.move_to_end(key)
        return task

    def _loop(self, task: _Task) -> tuple[str, str] | None:
        streak = task.streak
        if streak.length < self._limit:
            task.told = False
            return None
        if task.told:
            return None
        task.told = True
        return task.agent, streak.tool


def streak_of(calls: Sequence[_Did], work: Sequence[tuple[int, int]]) -> Streak:
    """The last streak of `calls`, ordered by start; work: spans of LLM calls, ordered by start."""
    length, last = 0, None
    for turn in _turns(calls):
        is_same = last is not None and turn.digests == last.digests and not _is_new(last, turn)
        length = length + 1 if is_same and last is not None and _idle(last.end, turn.start, work) < POLL_GAP else 1
        last = turn
    return NO_STREAK if last is None else Streak(length, last.tool)


def _turns(calls: Sequence[_Did]) -> Iterator[_Turn]:
    group: list[_Did] = []
    end = 0
    for call in calls:
        if group and call.start >= end:
            yield _turn(group, end)
            group = []
        end = max(end, call.end) if group else call.end
        group.append(call)
    if group:
        yield _turn(group, end)


def _turn(group: Sequence[_Did], end: int) -> _Turn:
    results = {call.digest: call.result if call.is_ok else b"" for call in group}
    return _Turn(group[0].start, end, frozenset(results), results, group[-1].tool)


def _is_new(before: _Turn, turn: _Turn) -> bool:
    """Whether one of the turn's calls gave another result than the same call before it."""
    pairs = ((before.results[digest], result) for digest, result in turn.results.items())
    return any(old and result and old != result for old, result in pairs)


def _idle(since: int, until: int, work: Sequence[tuple[int, int]]) -> int:
    """Nanoseconds between two times in which no LLM call was under way."""
    idle, covered = 0, since
    for start, end in work:
        if start >= until:
            break
        if end > covered:
            idle += max(0, min(start, until) - covered)
            covered = end
    return idle + max(0, until - covered)


def _remember(items: list[T], item: T, most: int = MOST_CALLS) -> None:
    """Keep items ordered by their start, the latest of them."""
    if items and item < items[-1]:
        bisect.insort(items, item)
    else:
        items.append(item)
    if len(items) > most:
        del items[0]
