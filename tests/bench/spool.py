"""The sidecar with its sink away: 5,000 spans/s into the disk spool, on one core, against the Collector's queue.

The peer is the real Collector with a file_storage queue on the same disk and the same sink. Both are pinned to one
core, the sender to another. With fsync: `spool.sync: always` against `fsync: true`.
"""

from __future__ import annotations

import argparse
import gzip
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

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench.bodies import Bodies
from bench.ingest import serve
from support import free_port

RATE = 5000
COLLECTOR = """
extensions: {{file_storage: {{directory: {folder}, fsync: {fsync}, create_directory: true}}}}
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{port}}}}}}}}}
exporters:
  otlp_http:
    endpoint: http://127.0.0.1:{sink}
    retry_on_failure: {{max_elapsed_time: 0}}
    sending_queue: {{storage: file_storage, queue_size: 100000}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}, logs: {{level: fatal}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http]}}}}
"""


class Result(NamedTuple):
    """share: of a core, percent; times: milliseconds to the answer."""

    share: float
    median: float
    p99: float
    worst: float


@contextmanager
def sidecar(sync: bool) -> Iterator[tuple[int, psutil.Process]]:
    """Port and process of a sidecar whose sink is away. Its own collectors run as usual."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = {
            "data_dir": folder,
            "web": {"listen": "127.0.0.1:0"},
            "receive": {"http": {"listen": f"127.0.0.1:{port}"}},
            "sidecar": {
                "forward": f"http://127.0.0.1:{free_port()}",
                "spool": {"sync": "always" if sync else "interval", "max_bytes": 1 << 30},
            },
        }
        file = Path(folder, "fleetwatch.yml")
        file.write_text(json.dumps(config), encoding="utf-8")
        yield from serve([sys.executable, "-m", "fleetwatch", "sidecar", "-c", str(file)], 0, port, dict(os.environ))


@contextmanager
def collector(sync: bool) -> Iterator[tuple[int, psutil.Process]]:
    """The same of a Collector."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        text = COLLECTOR.format(folder=f"{folder}/queue", port=port, sink=free_port(), fsync=str(sync).lower())
        file = Path(folder, "collector.yaml")
        file.write_text(text, encoding="utf-8")
        program = f"{os.environ['FLEETWATCH_TOOLS']}/bin/otelcol-contrib"
        yield from serve([program, f"--config={file}"], 0, port, dict(os.environ))


def send(port: int, process: psutil.Process, bodies: list[bytes], spans: int, packed: bool) -> Result:
    """Send at the pace, each body answered before the next."""
    headers = {"content-type": "application/x-protobuf"} | ({"content-encoding": "gzip"} if packed else {})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times = []
    before, started = process.cpu_times(), time.perf_counter()
    for number, body in enumerate(bodies):
        time.sleep(max(0.0, started + number * spans / RATE - time.perf_counter()))
        sent = time.perf_counter()
        connection.request("POST", "/v1/traces", body, headers)
        response = connection.getresponse()
        response.read()
        times.append((time.perf_counter() - sent) * 1000)
        if response.status != 200:
            raise RuntimeError(f"the server refused: status {response.status}")
    seconds = time.perf_counter() - started
    after = process.cpu_times()
    connection.close()
    used = after.user + after.system - before.user - before.system
    times.sort()
    return Result(used / seconds * 100, statistics.median(times), times[int(len(times) * 0.99)], times[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    peer = "FLEETWATCH_TOOLS" in os.environ
    print(f"spool, {RATE:,} spans/s of 13 attributes over HTTP, one core, the sink is away for {options.seconds:g} s")
    for spans, packed, sync in ((100, False, False), (100, True, False), (500, True, False), (100, True, True)):
        maker = Bodies(spans)
        bodies = [maker.make() for _ in range(int(options.seconds * RATE / spans))]
        if packed:
            bodies = [gzip.compress(body, 6) for body in bodies]
        name = f"bodies of {spans}, {'gzip' if packed else 'plain'}{', fsync before the answer' if sync else ''}"
        with sidecar(sync) as (port, process):
            ours = send(port, process, bodies, spans, packed)
        line = f"{name}: sidecar {ours.share:.1f} % of a core, answer p50 {ours.median:.2f} p99 {ours.p99:.2f} ms"
        if peer:
            with collector(sync) as (port, process):
                theirs = send(port, process, bodies, spans, packed)
            line += (
                f"; Collector {theirs.share:.1f} %, p50 {theirs.median:.2f} p99 {theirs.p99:.2f} ms"
                f"; ratio {ours.share / theirs.share:.2f}"
            )
        print(line, flush=True)
    if not peer:
        print("the Collector was left out: set FLEETWATCH_TOOLS")


if __name__ == "__main__":
    main()
