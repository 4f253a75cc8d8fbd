"""Instrumented applications in real set-ups: another vendor's Collector, our gateway, and the demo's fleet."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.catalogue import agents as catalogue
from fleetwatch.demo.agents import ROLES
from fleetwatch.dialects import Record, translate_metrics, translate_traces
from fleetwatch.instrument import names
from fleetwatch.records.agents import AgentBeat, AgentRun, Evaluation, ToolCall
from support import wait_for
from support_collector import Gateway
from support_house import House
from support_instrument import run
from support_program import environment
from support_stack import otlp_sink

pytestmark = pytest.mark.stack

APPLICATION = """
from opentelemetry.sdk._configuration import _initialize_components
_initialize_components()  # what `opentelemetry-instrument` does: everything by the environment

from fleetwatch.instrument import agent

with agent("researcher", version="1.2", framework="langgraph", team="search", model="gpt-4o") as me:
    me.queue(2)
    with me.task("summarise") as task:
        for _ in range(2):
            with me.tool("web_search", arguments={"query": "a secret"}) as tool:
                tool.result("an answer")
        task.evaluation("relevance", 0.9, "pass")
        with agent("writer").task() as inner:
            inner.fail("max_turns")
"""


def send(http: str) -> None:
    """Run the application to its end, sending to HOST:PORT."""
    done = run(
        APPLICATION,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{http}",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_METRICS_EXPORTER="otlp",
        OTEL_RESOURCE_ATTRIBUTES="service.name=app,host.name=node-1",
    )
    assert done.code == 0, done.err


def attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["key"]: next(iter(entry["value"].values())) for entry in item.get("attributes", ())}


def test_it_works_with_a_collector_and_nothing_of_ours(tmp_path: Path) -> None:
    """OTLP in, files out: spans and gauges are there as the conventions name them."""
    out = {signal: tmp_path / f"{signal}.json" for signal in ("traces", "metrics")}
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": "${env:FLEETWATCH_COLLECTOR_HTTP}"}}}},
        "exporters": {f"file/{signal}": {"path": str(path), "flush_interval": "100ms"} for signal, path in out.items()},
        "extensions": {"health_check": {"endpoint": "${env:FLEETWATCH_COLLECTOR_HEALTH}"}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {signal: {"receivers": ["otlp"], "exporters": [f"file/{signal}"]} for signal in out},
        },
    }
    file = tmp_path / "vendor.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    collector = Gateway(tmp_path, "unused", file)
    with collector.up():
        send(collector.http)
        wait_for(lambda: all(path.stat().st_size for path in out.values()), 20, "the Collector's files")
    lines = {signal: [json.loads(line) for line in path.read_text().splitlines()] for signal, path in out.items()}
    spans = {
        item["name"]: attributes(item)
        for line in lines["traces"]
        for group in line["resourceSpans"]
        for scope in group["scopeSpans"]
        for item in scope["spans"]
    }
    assert spans.keys() == {"invoke_agent researcher", "invoke_agent writer", "execute_tool web_search"}
    assert spans["invoke_agent writer"]["error.type"] == "max_turns"
    assert len(spans["execute_tool web_search"][names.ARGUMENTS_DIGEST]) == 16
    gauges = {
        (metric["name"], attributes(point)["gen_ai.agent.name"])
        for line in lines["metrics"]
        for group in line["resourceMetrics"]
        for scope in group["scopeMetrics"]
        for metric in scope["metrics"]
        for point in metric["gauge"]["dataPoints"]
    }
    assert ("agent.goodbye.timestamp", "researcher") in gauges
    assert ("agent.last_heartbeat.timestamp", "writer") in gauges
    assert "secret" not in "".join(path.read_text() for path in out.values())


def test_our_gateway_lets_through_all_that_is_read(tmp_path: Path) -> None:
    with otlp_sink() as direct, otlp_sink() as behind:
        gateway = Gateway(tmp_path, f"127.0.0.1:{behind.port}")
        send(f"127.0.0.1:{direct.port}")
        with gateway.up():
            send(gateway.http)
            wait_for(lambda: len(behind.requests) >= len(direct.requests), 20, "what the gateway passes on")
        expected, found = (_told(sink.requests) for sink in (direct, behind))
    assert found == expected
    assert {type(record) for record in expected} == {AgentRun, ToolCall, Evaluation, AgentBeat}


def _told(requests: list[Any]) -> list[Record]:
    """Records without what is of one run: ids, times, the process."""
    records: list[Record] = []
    for request in requests:
        if isinstance(request, ExportTraceServiceRequest):
            records += translate_traces(request).records
        elif isinstance(request, ExportMetricsServiceRequest):
            records += translate_metrics(request).records
    told: list[Record] = []
    for record in records:
        if isinstance(record, AgentRun | ToolCall):
            told.append(record._replace(span=b"", parent=b"", start=0, at=0))
        elif isinstance(record, Evaluation):
            told.append(record._replace(key=b"", at=0))
        elif isinstance(record, AgentBeat):
            told.append(record._replace(instance="", at=0, progress=None, queue_age=None))
    return sorted(told, key=repr)


@contextmanager
def demo(http: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`fleetwatch demo` until the block ends; it may be ended before."""
    command = [sys.executable, "-m", "fleetwatch", "demo", "--endpoint", f"http://{http}", *options]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# Of what the catalogue has, this fleet does not show: agents that the settings do not expect, and too many of them.
NOT_SHOWN = {catalogue.REJECTED.prometheus}


def test_the_demo_s_fleet_fills_everything_that_is_known_of_agents(tmp_path: Path) -> None:
    wanted = {metric.prometheus for metric in vars(catalogue).values() if hasattr(metric, "prometheus")} - NOT_SHOWN
    with House(tmp_path, {"agents": {"trace_grace": 1, "trace_quiet": 2}}) as house:
        with demo(house.http, "--speed", "20", "--beat", "0.5") as process:
            wait_for(lambda: _empty(house, wanted) == set(), 90, "every metric of agents", 0.5)
            assert _agents(house, catalogue.INFO.prometheus) == {role.name for role in ROLES}
            wait_for(lambda: house.value("agent_state", agent="deployer", state="waiting_tool") == 1, 60, "one hangs")
            wait_for(
                lambda: house.value("agent_state", agent="escalation", state="waiting_human") == 1, 30, "one waits"
            )
            wait_for(lambda: house.value("agent_loops_total", agent="test-fixer") >= 1, 30, "one loops")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        wait_for(lambda: house.value("agent_presence", presence="goodbye") == len(ROLES), 20, "all goodbyes")
        assert house.value("agent_presence", presence="missing") == 0
        assert house.value("fleetwatch_receiver_rejected_total") == 0


def _empty(house: House, wanted: set[str]) -> set[str]:
    """Metrics without a value above zero; that is so for the oldest task of a queue that is empty now and then."""
    text = house.get("/metrics")[1].splitlines()
    seen = {line.split("{")[0].removesuffix("_count") for line in text if line.rpartition(" ")[2] not in {"0", "0.0"}}
    return wanted - seen


def _agents(house: House, metric: str) -> set[str]:
    return {dict(series)["agent"] for series in house.metrics(metric)}
