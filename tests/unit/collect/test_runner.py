"""Sources run at their own pace, and one that is broken hurts only itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fleetwatch.catalogue import exporter, hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import KEPT_CYCLES, Denied, Incomplete, NoData, Pace, Runner, Source, load, source_names
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition


class Watched:
    """A source whose deeds are set by the test, its runner and what the meter shows of both."""

    def __init__(self, collect: Callable[[], Any], timeout: float = 5.0) -> None:
        self.meter = Meter()
        self.source = Source("watched", 0.01, timeout, collect)
        self.runner = Runner([self.source], self.meter, clock=lambda: 1000.0)

    async def cycle(self) -> None:
        await self.runner.cycle(self.source)

    def denied(self) -> set[str]:
        """Permissions that are shown as missing."""
        prefix = f"{exporter.COLLECTOR_DENIED.prometheus}{{"
        lines = exposition(self.meter, openmetrics=False).splitlines()
        return {line.split('permission="')[1].split('"')[0] for line in lines if line.startswith(prefix)}

    def shown(self) -> dict[str, float]:
        lines = exposition(self.meter, openmetrics=False).splitlines()
        rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.split("{")[0]: float(value) for name, value in rows}


def load_of(value: float) -> Iterator[Sample]:
    yield hosts.LOAD_1M(value)


SUCCESS = exporter.COLLECTOR_SUCCESS.prometheus
LOAD = hosts.LOAD_1M.prometheus


def test_what_a_source_reports_is_shown_with_its_success() -> None:
    watched = Watched(lambda: load_of(0.5))
    asyncio.run(watched.cycle())
    shown = watched.shown()
    assert (shown[LOAD], shown[SUCCESS]) == (0.5, 1)
    assert shown["fleetwatch_collector_series"] == 1
    assert shown["fleetwatch_collector_last_success_timestamp_seconds"] == 1000
    assert shown["fleetwatch_collector_duration_seconds"] > 0


def test_a_failure_keeps_the_last_values_for_some_cycles(caplog: pytest.LogCaptureFixture) -> None:
    results: list[Any] = [load_of(0.5)]

    def collect() -> Any:
        if not results:
            raise OSError("no such sensor")
        return results.pop()

    async def fail() -> None:
        watched = Watched(collect)
        await watched.cycle()
        for _ in range(KEPT_CYCLES):
            await watched.cycle()
            assert (watched.shown()[LOAD], watched.shown()[SUCCESS]) == (0.5, 0)
        await watched.cycle()
        assert LOAD not in watched.shown()
        results.append(load_of(0.7))
        await watched.cycle()
        assert (watched.shown()[LOAD], watched.shown()[SUCCESS]) == (0.7, 1)

    asyncio.run(fail())
    assert [record.message for record in caplog.records] == ["source watched failed: OSError: no such sensor"]


def test_where_a_part_fails_the_others_are_shown_and_what_failed_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    def half() -> Iterator[Sample]:
        yield hosts.LOAD_1M(0.7)
        raise Incomplete("vmstat: has no pswpin")

    results: list[Iterator[Sample]] = [half(), iter([hosts.LOAD_1M(0.5), hosts.CPU_COUNT(2)])]

    async def fail() -> None:
        watched = Watched(results.pop)
        await watched.cycle()
        assert watched.shown()[hosts.CPU_COUNT.prometheus] == 2
        await watched.cycle()
        shown = watched.shown()
        assert (shown[LOAD], shown[SUCCESS], shown[exporter.COLLECTOR_SERIES.prometheus]) == (0.7, 0, 1)
        assert hosts.CPU_COUNT.prometheus not in shown

    asyncio.run(fail())
    assert [record.message for record in caplog.records] == ["source watched failed: vmstat: has no pswpin"]


DENIED = Denied("cloudwatch:GetMetricData", "AccessDenied in eu-west-1", "Attach deploy/aws/policy.json.")


def test_a_missing_permission_is_named_and_keeps_the_last_values_for_some_cycles(
    caplog: pytest.LogCaptureFixture,
) -> None:
    results: list[Any] = [load_of(0.5)]

    def collect() -> Any:
        if not results:
            raise DENIED
        return results.pop()

    async def deny() -> None:
        watched = Watched(collect)
        await watched.cycle()
        for _ in range(KEPT_CYCLES):
            await watched.cycle()
            assert (watched.shown()[LOAD], watched.shown()[SUCCESS]) == (0.5, 0)
            assert watched.denied() == {"cloudwatch:GetMetricData"}
        await watched.cycle()
        assert LOAD not in watched.shown()
        assert watched.denied() == {"cloudwatch:GetMetricData"}
        results.append(load_of(0.7))
        await watched.cycle()
        assert watched.denied() == set()

    asyncio.run(deny())
    assert [record.message for record in caplog.records] == [
        "source watched failed: cloudwatch:GetMetricData is missing: AccessDenied in eu-west-1. "
        "Attach deploy/aws/policy.json."
    ]


def test_permissions_that_are_missing_for_parts_are_named_beside_the_others_values() -> None:
    def half() -> Iterator[Sample]:
        yield hosts.LOAD_1M(0.7)
        raise Incomplete("2 regions failed", [DENIED, DENIED, Denied("ec2:DescribeSpotPriceHistory", "denied", "Ask.")])

    watched = Watched(half)
    asyncio.run(watched.cycle())
    assert (watched.shown()[LOAD], watched.shown()[SUCCESS]) == (0.7, 0)
    assert watched.denied() == {"cloudwatch:GetMetricData", "ec2:DescribeSpotPriceHistory"}


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (hosts.LOAD_1M("half"), "system.cpu.load_average.1m: expected a number, got 'half'"),  # type: ignore[arg-type]  # so a driver's library may answer
        (hosts.LOAD_1M(None), "system.cpu.load_average.1m: expected a number, got None"),  # type: ignore[arg-type]  # likewise
        (
            hosts.NETWORK_UP(1, network_interface_name=b"eth0"),  # type: ignore[arg-type]  # likewise
            "system.network.up: expected 2 texts as labels, got ('', b'eth0')",
        ),
        (Sample(hosts.LOAD_1M, (), 1), "system.cpu.load_average.1m: expected 1 texts as labels, got ()"),
        (5, "TypeError"),
    ],
)
def test_what_is_no_value_hurts_only_its_source(sample: Any, why: str, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(lambda: [sample])
    watched.meter.replace("other", load_of(0.5))
    asyncio.run(watched.cycle())
    shown = watched.shown()
    assert (shown[LOAD], shown[SUCCESS]) == (0.5, 0)
    assert why in caplog.text


def test_nothing_to_report_is_no_failure() -> None:
    def collect() -> Any:
        raise NoData

    watched = Watched(collect)
    asyncio.run(watched.cycle())
    assert (watched.shown()[SUCCESS], watched.shown()["fleetwatch_collector_series"]) == (1, 0)


def test_a_source_that_hangs_is_not_started_again_before_it_comes_back() -> None:
    started: list[int] = []
    wake = threading.Event()

    def collect() -> Any:
        started.append(1)
        wake.wait(20)
        return load_of(len(started))

    async def hang() -> None:
        watched = Watched(collect, timeout=0.02)
        for _ in range(4):
            await watched.cycle()
        assert (len(started), watched.shown()[SUCCESS]) == (1, 0)
        wake.set()
        await asyncio.wait_for(watched.runner._running["watched"], 10)
        await watched.cycle()
        assert (len(started), watched.shown()[SUCCESS], watched.shown()[LOAD]) == (2, 1, 2)

    asyncio.run(hang())


def test_sources_that_hang_do_not_keep_another_from_its_work() -> None:
    async def run() -> None:
        wake, enough = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        done: list[int] = []

        def hang() -> list[Sample]:
            wake.wait(20)
            return []

        def work() -> list[Sample]:
            done.append(1)
            if len(done) == 5:
                loop.call_soon_threadsafe(enough.set)
            return []

        hanging = [Source(f"hanging-{number}", 0.01, 0.02, hang) for number in range(3)]
        runner = Runner([*hanging, Source("good", 0.01, 5.0, work)], Meter())
        runner.start()
        await asyncio.wait_for(enough.wait(), 10)
        await runner.stop()
        wake.set()

    asyncio.run(run())


def test_a_source_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    """A file server that is gone hangs every look at its mount, and SIGTERM must still work."""
    program = """
import asyncio, threading
from fleetwatch.collect.runner import Runner, Source
from fleetwatch.meter import Meter

async def main():
    runner = Runner([Source("hanging", 1.0, 0.05, lambda: [threading.Event().wait()])], Meter())
    runner.start()
    await asyncio.sleep(0.1)
    await runner.stop()

asyncio.run(main())
print("ended")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "ended\n",
        "source hanging failed: took longer than 0.05 s\n",
    )


def test_a_failure_after_the_time_out_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    wake = threading.Event()

    def collect() -> Any:
        wake.wait(20)
        raise OSError("too late")

    async def late() -> None:
        watched = Watched(collect, timeout=0.02)
        await watched.cycle()
        wake.set()
        await asyncio.wait(list(watched.runner._running.values()))

    asyncio.run(late())
    assert [record.message for record in caplog.records] == ["source watched failed: took longer than 0.02 s"]


def test_every_source_loads_by_the_name_of_its_file_and_the_settings_change_its_pace() -> None:
    assert {"host", "own_process"} <= set(source_names())
    for name in source_names():
        assert load(name, Here()).name == name
    changed = load("host", Here(), Pace(interval=3.0, timeout=1.0))
    assert (changed.interval, changed.timeout) == (3.0, 1.0)
