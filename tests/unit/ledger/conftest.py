"""Ledgers of pipelines for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.ledger import Ledger
from fleetwatch.ledger.agents import AgentRules
from fleetwatch.ledger.pipelines.pipelines import PipelineRules
from support_ledger import BOOK
from support_pipelines import SIGNALS, Opened
from support_tasks import Clock


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = 100
    return clock


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Opened]:
    """Opens the ledger, again where it is open."""
    open_now: list[Ledger] = []

    def opening(limits: dict[str, int] | None = None, **rules: object) -> Ledger:
        while open_now:
            open_now.pop().close()
        given = PipelineRules(**{"signals": SIGNALS, **rules})  # type: ignore[arg-type]
        agents = AgentRules(limits=limits or {})
        open_now.append(Ledger(tmp_path / "ledger.db", BOOK, agents=agents, pipelines=given, clock=clock))
        return open_now[-1]

    yield opening
    while open_now:
        open_now.pop().close()


@pytest.fixture
def ledger(opened: Opened) -> Ledger:
    return opened()
