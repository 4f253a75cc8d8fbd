"""What an agent's process is doing: open tasks, their states, and when each last got on with its work.

Nothing here waits for a lock: a state or a sign of progress is one or two assignments, and whoever collects copies what
it looks at. Times are Unix nanoseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, NamedTuple

from fleetwatch.instrument.names import STATES

_BUSIEST: Final = ("working", "waiting_tool", "blocked", "waiting_human", "idle")
"""Of several tasks the busiest stands for the agent: it waits for a human only when all of its tasks do."""
_RANK: Final = {state: rank for rank, state in enumerate(_BUSIEST)}
_MOVING: Final = frozenset({"working", "waiting_tool"})
"""States in which a task ought to get on."""
OF_THE_AGENT: Final = frozenset({"draining", "failed"})
"""States of a whole process, whatever its tasks do."""
_KNOWN: Final = frozenset(STATES)


class Process:
    """generation: forks between the first process and this one; the one thing that tells a child from its parent."""

    generation = 0


class Work:
    """One open task. said: the state that the application told, empty where it follows from what is open."""

    __slots__ = ("children", "owner", "parent", "progress", "said", "tools")

    def __init__(self, owner: object, parent: Work | None) -> None:
        self.owner = owner
        self.parent = parent
        self.said = ""
        self.progress = time.time_ns()
        # Dictionaries for what is open: to add and to take away is atomic, and a count would drift between threads.
        self.children: dict[Work, None] = {}
        self.tools: dict[object, None] = {}

    def touch(self) -> None:
        """It got on, and so did all tasks around it."""
        now = time.time_ns()
        work: Work | None = self
        while work is not None:
            work.progress = now
            work = work.parent

    def state(self) -> str:
        """What it is doing; a task that waits for a sub-agent's does what that one does."""
        if self.said:
            return self.said
        if self.children:
            return busiest([child.state() for child in list(self.children)])
        return "waiting_tool" if self.tools else "working"


def busiest(states: list[str]) -> str:
    return min(states, key=lambda state: _RANK.get(state, 0), default="working")


class Moment(NamedTuple):
    """What is said of an agent in one collection, beside its queue."""

    state: str
    progress: int
    open_tasks: int


class Doing:
    """All that one agent does in this process."""

    def __init__(self) -> None:
        self.open: dict[Work, None] = {}
        self.said = ""
        self.latest = time.time_ns()
        """When anything of it got on."""
        self.told = 0
        """When the application last said so outside of any task: then no task is behind it."""
        self._depth: int | Callable[[], int] | None = None
        self._age: float | None = None
        self._age_at = 0.0
        self._empty = False

    def begin(self, work: Work) -> None:
        if self.said != "draining":
            self.said = ""
        self.open[work] = None
        if work.parent is not None:
            work.parent.children[work] = None
        self.touch(work)

    def end(self, work: Work) -> None:
        self.open.pop(work, None)
        if work.parent is not None:
            work.parent.children.pop(work, None)
        self.touch(work)

    def touch(self, work: Work | None) -> None:
        """Progress of a task, or of the agent as a whole."""
        if work is None:
            self.latest = self.told = time.time_ns()
        else:
            work.touch()
            self.latest = work.progress

    def say(self, work: Work | None, state: str) -> Until | None:
        """None where that is no state."""
        if not isinstance(state, str) or state not in _KNOWN:
            return None
        if work is None:
            holder: Doing | Work = self
            self.latest = self.told = time.time_ns()
        else:
            holder = self if state in OF_THE_AGENT else work
            work.touch()
            self.latest = work.progress
        before, holder.said = holder.said, state
        return Until(self, work, holder, state, before)

    def queue(self, depth: int | Callable[[], int] | None, oldest_age: float | None) -> None:
        self._depth, self._age, self._age_at, self._empty = depth, oldest_age, time.monotonic(), False

    def now(self) -> Moment:
        tasks = list(self.open)
        states = [task.state() for task in tasks]
        # Of the tasks that ought to move the slowest counts: one that hangs is not hidden by others that do not.
        moving = [task.progress for task, state in zip(tasks, states, strict=True) if state in _MOVING]
        return Moment(
            self.said or (busiest(states) if states else "idle"),
            max(min(moving), self.told) if moving else self.latest,
            len(tasks),
        )

    def queue_depth(self) -> int | None:
        """Asks the application's own function, if there is one; raises what it raises."""
        depth = self._depth() if callable(self._depth) else self._depth
        self._empty = depth == 0
        return None if depth is None else int(depth)

    def queue_age(self) -> float | None:
        """Seconds. Whoever waits longest goes on waiting until another word comes, or nobody waits any more."""
        if self._age is None:
            return None
        return 0.0 if self._empty else float(self._age) + time.monotonic() - self._age_at


class Until:
    """A state that was told; as a context manager it ends with the block, and what was before is back."""

    __slots__ = ("_before", "_doing", "_holder", "_state", "_work")

    def __init__(self, doing: Doing | None, work: Work | None, holder: Doing | Work | None, state: str, before: str):
        self._doing, self._work, self._holder, self._state, self._before = doing, work, holder, state, before

    def __enter__(self) -> None:
        """Nothing: the state holds already."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Another word that came in between stands.
        if self._holder is not None and self._doing is not None and self._holder.said == self._state:
            self._holder.said = self._before
            self._doing.touch(self._work)
