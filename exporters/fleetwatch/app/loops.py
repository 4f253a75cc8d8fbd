"""Agents that run in circles, as series."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from fleetwatch.catalogue import agents
from fleetwatch.meter import Meter
from fleetwatch.reckon.loops import Watch
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall

LOOPS = "loops"
"""The meter's source."""


class Loops:
    """Follows what was counted for the first time. After a restart every streak starts anew."""

    def __init__(self, meter: Meter, limit: int, clock: Callable[[], int] = time.time_ns) -> None:
        self._meter = meter
        self._clock = clock
        self._watch = Watch(limit)

    def take(self, calls: Iterable[LlmCall], tools: Iterable[ToolCall], runs: Iterable[AgentRun]) -> None:
        for agent, tool in self._watch.hear(calls, tools, runs, self._clock()):
            self._meter.add(agents.LOOPS, (agent, tool), 1)

    def show(self) -> None:
        """As of now; before each scrape."""
        samples = []
        for agent, seen in self._watch.seen(self._clock()).items():
            samples += [
                agents.LOOP_STREAK(seen.streak, agent=agent),
                agents.RUNNING_LLM_CALLS(seen.llm_calls, agent=agent),
            ]
        self._meter.replace(LOOPS, samples)
