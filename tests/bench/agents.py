"""Agents that beat: what 5,000 of them cost, from the socket to the page, against the real Collector.

The peer takes the same bodies and shows the gauges as they came, by its `prometheus` exporter; it keeps no roster, so
nobody is missed there. Bodies are those of `fleetwatch.instrument` and the SDK, with names put in: of 100 agents, as a
Collector batches them, or of one. Each server has one core, the sender the other.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench.ingest import Serve, serve
from support import free_port
from support_instrument import Application

HOSTS = 100
ROUNDS = 3

COLLECTOR = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{port}}}}}}}}}
exporters: {{prometheus: {{endpoint: 127.0.0.1:{web}, resource_to_telemetry_conversion: {{enabled: true}}}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines: {{metrics: {{receivers: [otlp], exporters: [prometheus]}}}}
"""

_web = 0
"""Port of the page of the server that runs."""


class Cost(NamedTuple):
    """beat: CPU us; scrape: CPU ms; answer: wall ms until the page is here; memory: MiB more than idle."""

    beat: float
    scrape: float
    answer: float
    memory: float
    series: int


@contextmanager
def fleetwatch(core: int) -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "data_dir": folder,
            "web": {"listen": f"127.0.0.1:{_web}"},
            "receive": {"http": {"listen": f"127.0.0.1:{port}"}, "grpc": {"listen": "127.0.0.1:0"}},
            "labels": {"limits": {"agent": 10_000}},
            "agents": {"max_processes": 10_000},
            "host": {"enabled": False},
        }
        config = Path(folder, "fleetwatch.yml")
        config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        yield from serve([sys.executable, "-m", "fleetwatch", "run", "-c", str(config)], core, port, dict(os.environ))


@contextmanager
def collector(core: int) -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "collector.yaml")
        config.write_text(COLLECTOR.format(port=port, web=_web), encoding="utf-8")
        program = f"{os.environ['FLEETWATCH_TOOLS']}/bin/otelcol-contrib"
        yield from serve([program, f"--config={config}"], core, port, dict(os.environ))


def bodies(agents: int, size: int) -> list[bytes]:
    """One beat of each agent, `size` agents in a body, made now."""
    application = Application()
    with application.agent("a", version="1.0", framework="langgraph", team="core", model="gpt-4o") as me, me.task():
        template = application.beat()
    now = time.time_ns()
    made = []
    for first in range(0, agents, size):
        request = ExportMetricsServiceRequest()
        for number in range(first, min(first + size, agents)):
            _name(request, template, number, now)
        made.append(request.SerializeToString())
    return made


def _name(request: ExportMetricsServiceRequest, template: ExportMetricsServiceRequest, number: int, now: int) -> None:
    """Add the template's beat as that of another agent, process and host."""
    names = {"gen_ai.agent.name": f"agent-{number}", "host.name": f"host-{number % HOSTS}"}
    request.MergeFrom(template)
    group = request.resource_metrics[-1]
    for item in group.resource.attributes:
        if item.key == "service.instance.id":
            item.value.string_value = f"pod-{number}"
    for scope in group.scope_metrics:
        for point in (point for metric in scope.metrics for point in metric.gauge.data_points):
            point.time_unix_nano = now
            for item in point.attributes:
                item.value.string_value = names.get(item.key, item.value.string_value)


def measure(server: Serve, agents: int, size: int) -> Cost:
    with server(0) as (port, process):
        send(port, bodies(HOSTS, size))
        scrape()
        idle = process.memory_info().rss
        # The first beat makes the series, the others are the usual case.
        send(port, bodies(agents, size))
        scrape()
        beats, scrapes, answers = [], [], []
        for _ in range(ROUNDS):
            made = bodies(agents, size)
            started = spent(process)
            send(port, made)
            beats.append(spent(process) - started)
            started, asked = spent(process), time.perf_counter()
            scrape()
            scrapes.append(spent(process) - started)
            answers.append(time.perf_counter() - asked)
        lines = [line for line in scrape().splitlines() if line.startswith(b"agent_")]
        memory = (process.memory_info().rss - idle) / 2**20
    middle = statistics.median
    return Cost(middle(beats) / agents * 1e6, middle(scrapes) * 1e3, middle(answers) * 1e3, memory, len(lines))


def spent(process: psutil.Process) -> float:
    """Seconds of processor time so far."""
    times = process.cpu_times()
    return times.user + times.system


def send(port: int, made: list[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in made:
        connection.request("POST", "/v1/metrics", body, {"content-type": "application/x-protobuf"})
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"the server refused: status {response.status}")
    connection.close()


def scrape() -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", _web, timeout=60)
    connection.request("GET", "/metrics")
    body = connection.getresponse().read()
    connection.close()
    return body


def main() -> None:
    global _web  # noqa: PLW0603 - one server at a time
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=5000)
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    _web = free_port()
    sides: dict[str, Serve] = {"fleetwatch": fleetwatch}
    if "FLEETWATCH_TOOLS" in os.environ:
        sides["Collector"] = collector
    else:
        print("the Collector was left out: set FLEETWATCH_TOOLS")
    print(f"{options.agents} agents that beat, on {HOSTS} hosts; medians, one core for the server")
    for size in (100, 1):
        for name, server in sides.items():
            cost = measure(server, options.agents, size)
            print(
                f"bodies of {size:3}: {name:10} {cost.beat:6.0f} CPU us a beat; scrape {cost.scrape:5.0f} CPU ms, "
                f"answered in {cost.answer:5.0f} ms, {cost.series} series; {cost.memory:5.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
