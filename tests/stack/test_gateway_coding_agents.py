"""Coding agents behind the shipped Collector: it makes digests of their sessions, and each call still counts once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.catalogue import agents
from fleetwatch.dialects import Record
from support import wait_for
from support_coding_agents import Figures, Recording, translate
from support_collector import Gateway
from support_stack import OtlpSink, otlp_sink

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, OtlpSink]]:
    with otlp_sink() as sink:
        gateway = Gateway(Path(tmp_path_factory.mktemp("gateway")), f"127.0.0.1:{sink.port}")
        with gateway.up():
            yield gateway, sink


def behind(way: tuple[Gateway, OtlpSink], sent: Recording, signal: str) -> list[Record]:
    """The records of a signal's requests as they come out of the Collector."""
    gateway, sink = way
    records: list[Record] = []
    for request in sent.requests(signal):
        seen = len(sink.requests)
        assert gateway.send(signal, request.SerializeToString()) == 200
        wait_for(lambda: len(sink.requests) > seen, 10, f"{signal} behind the Collector")  # noqa: B023 - called at once
        came: Any = sink.requests[seen]
        records += translate(signal, came).records
    return records


@pytest.mark.parametrize(
    ("dialect", "scenario", "signals"),
    [
        ("claude_code", "sub_agent", ("traces", "metrics", "logs")),
        ("codex", "tool", ("metrics", "logs", "traces")),
        ("gemini_cli", "retry", ("metrics", "traces", "logs")),
        ("qwen_code", "sub_agent", ("logs", "metrics", "traces")),
    ],
)
def test_figures_are_the_same_behind_the_collector(
    way: tuple[Gateway, OtlpSink], dialect: str, scenario: str, signals: tuple[str, ...], tmp_path: Path
) -> None:
    sent = Recording(dialect, scenario)
    straight = [sent.records(signal) for signal in signals]
    around = [behind(way, sent, signal) for signal in signals]
    with Figures(tmp_path / "straight", *straight) as here, Figures(tmp_path / "around", *around) as there:
        assert there.tokens() == here.tokens() == sent.truth()
        assert (there.requests(), there.cost()) == (here.requests(), here.cost())
        assert there.duplicates() == here.duplicates()
        for metric in (agents.TASKS, agents.TASK_SPENT, agents.TOOL_CALLS, agents.EDGE_REQUESTS):
            assert there.counted(metric) == here.counted(metric)


def test_metrics_alone_are_the_same_behind_the_collector(way: tuple[Gateway, OtlpSink], tmp_path: Path) -> None:
    for dialect in ("claude_code", "codex", "gemini_cli", "qwen_code"):
        sent = Recording(dialect, "plain")
        with Figures(tmp_path / dialect, behind(way, sent, "metrics")) as figures:
            assert figures.tokens() == sent.truth()
