"""Ingest: processor time per million LLM spans, from the socket to the disk, against the real Collector.

The peer does the nearest durable work: span_metrics (3 dimensions) and a file_storage queue with fsync to a sink that
throws away. Both are pinned to one core, the sender to another; rounds alternate; the figure is the median of the
ratios of a round.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench.bodies import Bodies
from support import free_port, wait_for

CONNECTIONS = 4
Serve = Callable[[int], AbstractContextManager[tuple[int, psutil.Process]]]

COLLECTOR = """
extensions: {{file_storage: {{directory: {folder}, fsync: true, create_directory: true}}}}
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{port}}}}}}}}}
connectors:
  span_metrics:
    dimensions: [{{name: gen_ai.agent.name}}, {{name: gen_ai.provider.name}}, {{name: gen_ai.response.model}}]
exporters:
  otlp_http:
    endpoint: http://127.0.0.1:{sink}
    compression: none
    sending_queue: {{storage: file_storage, queue_size: 100000}}
  prometheus: {{endpoint: 127.0.0.1:{metrics}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [span_metrics, otlp_http]}}
    metrics: {{receivers: [span_metrics], exporters: [prometheus]}}
"""
SINK = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{sink}}}}}}}}}
exporters: {{nop: }}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}
"""


@contextmanager
def fleetwatch(core: int) -> Iterator[tuple[int, psutil.Process]]:
    """Port and process of an exporter with a fresh ledger."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        environ = os.environ | {
            "FLEETWATCH_DATA_DIR": folder,
            "FLEETWATCH_WEB__LISTEN": "127.0.0.1:0",
            "FLEETWATCH_RECEIVE__HTTP__LISTEN": f"127.0.0.1:{port}",
            "FLEETWATCH_RECEIVE__GRPC__LISTEN": "127.0.0.1:0",
        }
        yield from serve([sys.executable, "-m", "fleetwatch", "run"], core, port, environ)


@contextmanager
def collector(core: int) -> Iterator[tuple[int, psutil.Process]]:
    """Port and process of a Collector with its queue on disk; its sink runs beside the sender."""
    program = f"{os.environ['FLEETWATCH_TOOLS']}/bin/otelcol-contrib"
    port, sink, metrics = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("collector", COLLECTOR), ("sink", SINK)):
            config = text.format(folder=f"{folder}/queue", port=port, sink=sink, metrics=metrics)
            Path(folder, f"{name}.yaml").write_text(config, encoding="utf-8")
        for _ in serve([program, f"--config={folder}/sink.yaml"], 1 - core, sink, dict(os.environ)):
            yield from serve([program, f"--config={folder}/collector.yaml"], core, port, dict(os.environ))


def serve(command: list[str], core: int, port: int, environ: dict[str, str]) -> Iterator[tuple[int, psutil.Process]]:
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: _answers(port), 20, f"{command[0]} on port {port}")
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    connection.request("GET", "/")
    return connection.getresponse().status > 0


def send(port: int, bodies: list[bytes]) -> float:
    """Send all bodies over some connections, each answered before the next; returns seconds."""
    waiting = iter(bodies)
    lock = threading.Lock()
    failures: list[str] = []

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                body = next(waiting, None)
            if body is None:
                return
            connection.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                failures.append(f"status {response.status}")
                return

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"the server refused: {failures[0]}")
    return time.perf_counter() - started


def measure(server: Serve, bodies: list[bytes], spans: int) -> tuple[float, float]:
    """(CPU seconds per million spans, spans per second) of a fresh server, after a warm-up with two bodies."""
    with server(0) as (port, process):
        send(port, bodies[:2])
        before = process.cpu_times()
        seconds = send(port, bodies[2:])
        after = process.cpu_times()
    count = spans * (len(bodies) - 2)
    used = after.user + after.system - before.user - before.system
    return used / count * 1e6, count / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spans", type=int, default=100_000, help="per round and body size")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    peer = "FLEETWATCH_TOOLS" in os.environ
    print("ingest, HTTP, protobuf, 13 attributes a span, 4 connections; one core for the server")
    for size in (100, 1000):
        maker = Bodies(size)
        ours, theirs, rates = [], [], []
        for _ in range(options.rounds):
            bodies = [maker.make() for _ in range(options.spans // size + 2)]
            cpu, rate = measure(fleetwatch, bodies, size)
            ours.append(cpu)
            rates.append(rate)
            if peer:
                theirs.append(measure(collector, bodies, size)[0])
        line = (
            f"bodies of {size:5}: fleetwatch {statistics.median(ours):6.1f} CPU s/million "
            f"({min(ours):.1f}-{max(ours):.1f}), {statistics.median(rates):,.0f} spans/s"
        )
        if theirs:
            ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
            line += (
                f"; Collector {statistics.median(theirs):6.1f} ({min(theirs):.1f}-{max(theirs):.1f})"
                f"; ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            )
        print(line, flush=True)
    if not peer:
        print("the Collector was left out: set FLEETWATCH_TOOLS")


if __name__ == "__main__":
    main()
