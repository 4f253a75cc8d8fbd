"""The own container, pod or service: what its control group (version 2) counts and where its limits are.

container_cpu_limit 2.0
container_cpu_throttled_periods_total 812
container_memory_working_set_bytes 3.1e8
container_memory_events_total{container_memory_event="oom_kill"} 1

A limit of a parent holds for its children too, so each limit is the least of the own one and those of the parents that
can be seen; inside a container no parent can. Everything else is the own group's, groups below it included.

Formats: Documentation/admin-guide/cgroup-v2.rst of the Linux kernel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._cgroup import counts, folders
from fleetwatch.collect.hosts._pressure import pressure
from fleetwatch.collect.hosts._read import if_there, number, parts, words
from fleetwatch.collect.runner import source

_BYTES = re.compile(rb"\b([rw])bytes=(\d+)")

UNLIMITED = b"max"

T = TypeVar("T")


@source(interval=15)
def cgroup(here: Here) -> Iterator[Sample]:
    found = folders(str(here.proc))
    own = found[0]
    return parts(
        partial(processors, found),
        partial(memory, found),
        partial(least, found, "memory.max", hosts.CONTAINER_MEMORY_LIMIT),
        partial(events, own),
        partial(pids, own),
        partial(least, found, "pids.max", hosts.CONTAINER_PIDS_LIMIT),
        partial(disks, own),
        *(
            partial(pressure, f"{own}/{name}.pressure", name, hosts.CONTAINER_PRESSURE)
            for name in hosts.PRESSURE_RESOURCE.one_of
        ),
    )


def processors(found: list[str]) -> Iterator[Sample]:
    """cpu.stat, in microseconds, and cpu.max: time of processors in a period of time.

    Periods are those of the group whose limit is the least: it is the one that stops the threads.
    """
    limits = [limit for limit in map(_processors_allowed, found) if limit is not None]
    limit, limited = min(limits, default=(None, found[0]))
    if limit is not None:
        yield hosts.CONTAINER_CPU_LIMIT(limit)
    yield from _counted(f"{found[0]}/cpu.stat", _time)
    yield from _counted(f"{limited}/cpu.stat", _throttled)


def _processors_allowed(folder: str) -> tuple[float, str] | None:
    path = f"{folder}/cpu.max"
    data = if_there(path)
    if data is None:
        return None
    quota, period = _within(path, lambda: words(data, 2))[:2]
    return None if quota == UNLIMITED else _within(path, lambda: (number(quota) / number(period), folder))


def _time(facts: dict[str, int]) -> Iterator[Sample]:
    for mode in ("user", "system"):
        yield hosts.CONTAINER_CPU_TIME(facts[f"{mode}_usec"] / 1e6, cpu_mode=mode)


def _throttled(facts: dict[str, int]) -> Iterator[Sample]:
    if "nr_periods" in facts:  # only where the controller is on
        yield hosts.CONTAINER_CPU_PERIODS(facts["nr_periods"])
        yield hosts.CONTAINER_CPU_THROTTLED_PERIODS(facts["nr_throttled"])
        yield hosts.CONTAINER_CPU_THROTTLED(facts["throttled_usec"] / 1e6)


def memory(found: list[str]) -> Iterator[Sample]:
    """memory.current and memory.stat. The kernel gives the inactive part of the file cache back before it kills."""
    path = f"{found[0]}/memory.current"
    current = if_there(path)
    if current is None:
        return
    used = _within(path, lambda: number(current.strip()))
    yield hosts.CONTAINER_MEMORY(used)
    yield from _counted(
        f"{found[0]}/memory.stat",
        lambda facts: [hosts.CONTAINER_WORKING_SET(max(used - facts["inactive_file"], 0))],
    )


def least(found: list[str], name: str, metric: Metric) -> Iterator[Sample]:
    """The least limit on the way up; nothing where there is none."""
    limits = []
    for folder in found:
        path = f"{folder}/{name}"
        value = (if_there(path) or UNLIMITED).strip()
        if value != UNLIMITED:
            limits.append(_within(path, partial(number, value)))
    if limits:
        yield metric(min(limits))


def events(own: str) -> Iterator[Sample]:
    """memory.events, which counts groups below as well: what is killed in there is killed in this container."""
    yield from _counted(
        f"{own}/memory.events",
        lambda facts: [
            hosts.CONTAINER_MEMORY_EVENTS(facts[event], container_memory_event=event)
            for event in hosts.CGROUP_EVENT.one_of
        ],
    )


def pids(own: str) -> Iterator[Sample]:
    path = f"{own}/pids.current"
    data = if_there(path)
    if data is not None:
        yield hosts.CONTAINER_PIDS(_within(path, lambda: number(data.strip())))


def disks(own: str) -> Iterator[Sample]:
    """io.stat: a line for each device that was used."""
    data = if_there(f"{own}/io.stat")
    if data is None:
        return
    sums = {b"r": 0, b"w": 0}
    for direction, count in _BYTES.findall(data):
        sums[direction] += number(count)
    yield hosts.CONTAINER_DISK_IO(sums[b"r"], disk_io_direction="read")
    yield hosts.CONTAINER_DISK_IO(sums[b"w"], disk_io_direction="write")


def _counted(path: str, samples_of: Callable[[dict[str, int]], Iterator[Sample] | list[Sample]]) -> list[Sample]:
    """The samples of a file with a name and a number in each line; none where it is not there."""
    data = if_there(path)
    return [] if data is None else _within(path, lambda: list(samples_of(counts(data))))


def _within(path: str, work: Callable[[], T]) -> T:
    """What the work gives; its complaints name the file."""
    try:
        return work()
    except KeyError as error:
        raise ValueError(f"{path}: has no {error.args[0]}") from None
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{path}: {error}") from None
