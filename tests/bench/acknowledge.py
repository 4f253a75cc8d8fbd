"""Time to acknowledge with 1,000 open connections and 2,000 spans/s, and what `run` costs when nothing happens."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench.bodies import Bodies
from bench.ingest import fleetwatch

CONNECTIONS = 1000
SPANS_PER_SECOND = 2000
SPANS = 10


async def talk(port: int, maker: Bodies, seconds: float, times: list[float]) -> None:
    """One sender: a body every few seconds, at a random moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    pause = CONNECTIONS * SPANS / SPANS_PER_SECOND
    end = time.monotonic() + seconds
    await asyncio.sleep(random.uniform(0, pause))
    while time.monotonic() < end:
        body = maker.make()
        head = (
            f"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        started = time.perf_counter()
        writer.write(head.encode() + body)
        status = await reader.readline()
        times.append(time.perf_counter() - started)
        if b"200" not in status:
            raise RuntimeError(f"the server refused: {status!r}")
        while (line := await reader.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        await reader.readexactly(length)
        await asyncio.sleep(random.uniform(0.5 * pause, 1.5 * pause))
    writer.close()


async def _all(port: int, seconds: float) -> list[float]:
    times: list[float] = []
    maker = Bodies(SPANS)
    await asyncio.gather(*(talk(port, maker, seconds, times) for _ in range(CONNECTIONS)))
    return times


def idle(process: psutil.Process, seconds: float) -> tuple[float, float]:
    """(MiB resident, percent of a core) over some seconds of nothing."""
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return process.memory_info().rss / 2**20, used / seconds * 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    seconds = parser.parse_args().seconds
    os.sched_setaffinity(0, {1})
    with fleetwatch(0) as (port, process):
        rss, share = idle(process, seconds)
        print(f"idle: {rss:.0f} MiB resident, {share:.2f} % of a core")
        times = sorted(asyncio.run(_all(port, seconds)))
        p99 = times[int(len(times) * 0.99)] * 1000
        print(
            f"acknowledge: {CONNECTIONS:,} connections, {len(times) * SPANS / seconds:,.0f} spans/s "
            f"in bodies of {SPANS}: "
            f"median {statistics.median(times) * 1000:.1f} ms, p99 {p99:.1f} ms, max {times[-1] * 1000:.1f} ms"
        )


if __name__ == "__main__":
    main()
