"""How jobs end, from the end to the alert: `fleetwatch.instrument`, the SDK, sidecars, the exporter, Prometheus.

All happens at once, in one story; the tests look at what came of it. Rules and alerts are the shipped ones, evaluated
every second, and an alert fires HOLD seconds after its reason.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from fleetwatch.catalogue import hosts, pipelines
from fleetwatch.places import PROJECT
from support import wait_for
from support_hosts import FakeHost
from support_house import House
from support_jobs import Job, started_job
from support_prometheus import Prometheus, running_prometheus
from support_sidecar import Sidecar
from support_stack import releases

pytestmark = pytest.mark.stack

GENERATIONS = ("2.42", "3.")
HOLD = "1s"
SCRAPE = 0.25
"""Seconds between two scrapes."""
TOLD = 1.0
"""The same, as the exporter is told: new counters are 0 for twice as long, and a busy machine misses scrapes."""
SHOTS = 20
CGROUPS = Path("/sys/fs/cgroup")
MOST_MEMORY = 256 << 20
"""Bytes that the job has which the kernel ends: the SDK itself takes 50 MiB."""
FATES = {
    "crashed": ("box-2", "died"),
    "hungry": ("box", "oom_killed"),
    "uprooted": ("spot-1", "host_gone"),
    "evicted": ("spot-2", "host_gone"),
    "stray": ("nowhere", "lost"),
    "frozen": ("box-2", "died"),
}
"""Pipeline -> machine of its job, and the reason of its end. `frozen` is only taken for dead."""
Alert = tuple[str, str, str]
"""Name, pipeline, phase."""
RIGHT: set[Alert] = {
    *(("RunLost", name, "") for name in FATES),
    *(("PhaseFailed", name, "P01") for name in FATES),
    *(("PhaseFailed", f"shot-{number}", "P01") for number in range(SHOTS // 2)),
    ("PhaseFailed", "parent", "P01"),
    ("RunFailed", "outside", ""),
}


class Story(NamedTuple):
    """What came of it. fired, increase: by generation of Prometheus; reasons: of runs, by pipeline; seconds: from the
    fault to its end in the metrics, by pipeline; killed: ids of runs;
    corrected: of the run that was only taken for dead.
    """

    fired: dict[str, set[Alert]]
    increases: dict[str, list[float | None]]
    reasons: dict[str, tuple[str, str]]
    seconds: dict[str, float]
    killed: dict[str, str]
    corrected: dict[str, Any]
    house: House


# --- memory that runs out


@contextmanager
def small_memory() -> Iterator[Path]:
    """File to which the id of a process is written that is to have MOST_MEMORY: a cgroup below our own.

    Skips the test by name where none can be made: without root, or in a container that may not.
    """
    groups = dict(line.split(":")[1:] for line in Path("/proc/self/cgroup").read_text().split())
    first = "memory" in groups
    folder = CGROUPS / "memory" if first else CGROUPS
    ours = folder / groups["memory" if first else ""].lstrip("/") / f"fleetwatch-test-{os.getpid()}"
    try:
        ours.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup for a job that is to run out of memory: {error}")
    try:
        try:
            (ours / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(MOST_MEMORY))
        except OSError as error:
            pytest.skip(f"no limit of memory for a job: {error}")
        yield ours / "cgroup.procs"
    finally:

        def is_removed() -> bool:
            ours.rmdir()
            return True

        wait_for(is_removed, 10, f"{ours} to be empty")


# --- the stage


def hurried(folder: Path) -> list[Path]:
    """Copies of the shipped rules and alerts that are looked at every second."""
    copies = []
    for file in sorted((PROJECT / "prometheus").glob("*s/pipelines*.yml")):
        if file.parent.name not in ("rules", "alerts"):
            continue
        data: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in data["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = HOLD
        copies.append(folder / f"{file.parent.name}-{file.name}")
        copies[-1].write_text(yaml.safe_dump(data), encoding="utf-8")
    assert len(copies) >= 3, copies
    return copies


class Stage:
    """The exporter, the Prometheus servers and the machines."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        settings = {"roster": {"missing_after": 2}, "host": {"enabled": False}, "web": {"scrape_interval": TOLD}}
        self.house = stack.enter_context(House(folder / "exporter", settings))
        rules = hurried(folder)
        programs = {
            generation: str(path)
            for version, path in releases("prometheus")
            for generation in GENERATIONS
            if version.startswith(generation)
        }
        if not programs:
            pytest.skip("Prometheus is not on this machine")
        targets = {"fleetwatch": self.house.web}
        self.servers = {
            generation: stack.enter_context(
                running_prometheus(program, folder / generation, targets, interval=SCRAPE, rules=rules)
            )
            for generation, program in programs.items()
        }
        machines = {name: {"host": {"name": name}} for name in ("box", "spot-1")}
        self.sidecars = {name: Sidecar(folder / name, self.house.http, settings=None) for name in machines}
        for name, sidecar in self.sidecars.items():
            config = yaml.safe_load(sidecar.config.read_text())
            sidecar.configure({**config, **machines[name]})
            stack.enter_context(sidecar)
        self._over = threading.Event()
        self.evict = threading.Event()
        reporter = threading.Thread(target=self._report, daemon=True)
        reporter.start()
        stack.callback(reporter.join, 10)
        stack.callback(self._over.set)

    def _report(self) -> None:
        """Machines that say what a test wants: one is well, the other is about to be taken away, until it is."""
        well, taken = FakeHost("box-2", self.house.http), FakeHost("spot-2", self.house.http)
        while not self._over.wait(0.5):
            well.report()
            if not self.evict.is_set():
                taken.report(hosts.SPOT_ACTION(time.time() + 120, action="terminate"))
        well.close()
        taken.close()

    def job(self, name: str, **options: Any) -> Job:
        return self._stack.enter_context(started_job(self.house.http, name, self.folder / "jobs.log", **options))

    def shoot(self, shots: Sequence[tuple[str, str]]) -> None:
        """One-shot jobs (pipeline, play), four at a time; returns when all have ended."""

        def one(shot: tuple[str, str]) -> int:
            with started_job(self.house.http, shot[0], self.folder / "shots.log", play=shot[1]) as job:
                return job.end()

        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(one, shots))
        assert statuses == [0 if play == "goes well" else 1 for _, play in shots]

    def reasons(self) -> dict[str, tuple[str, str]]:
        """Of runs that ended, by pipeline."""
        shown = self.house.metrics(pipelines.RUNS.prometheus).items()
        told = [dict(series) for series, value in shown if value]
        return {series["pipeline"]: (series["result"], series["reason"]) for series in told}

    def fired(self, server: Prometheus) -> set[Alert]:
        """At any time."""
        ever = (
            'max by (alertname, pipeline, phase) (max_over_time(ALERTS{alertstate="firing",domain="pipelines"}[10m]))'
        )
        found = (dict(series) for series in server.query(ever))
        return {(labels["alertname"], labels["pipeline"], labels.get("phase", "")) for labels in found}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with ExitStack() as stack:
        room = stack.enter_context(small_memory())
        stage = Stage(tmp_path_factory.mktemp("pipelines"), stack)
        yield play(stage, room)


def play(stage: Stage, room: Path) -> Story:
    house = stage.house
    jobs = {name: stage.job(name, host=host) for name, (host, _) in FATES.items()}
    killed = {name: job.tell("id") for name, job in jobs.items()}
    for job in jobs.values():
        job.tell("phase P00", "items 5", "phase P01", "items 7")
    room.write_text(str(jobs["hungry"].pid))

    def all_at_work() -> bool:
        seen = house.metrics(pipelines.SLOT_PHASE_ITEMS.prometheus).items()
        alive = {dict(series)["host_name"] for series, up in house.metrics(hosts.STATE.prometheus).items() if up}

        return len([series for series, value in seen if value == 7]) == len(FATES) and alive >= {
            "box",
            "box-2",
            "spot-1",
            "spot-2",
        }

    wait_for(all_at_work, 60, "all jobs and machines", 0.5)
    faults = dict.fromkeys(FATES, time.monotonic())
    jobs["frozen"].stop()
    jobs["hungry"].begin("eat")
    for name in ("crashed", "uprooted", "evicted", "stray"):
        jobs[name].kill9()
    stage.sidecars["spot-1"].kill9()
    stage.evict.set()
    shots = [(f"shot-{number % (SHOTS // 2)}", "raises") for number in range(SHOTS)]
    others = [("parent", "child is killed"), ("outside", "raises outside"), ("healthy", "goes well")]
    seconds: dict[str, float] = {}

    def all_ended() -> bool:
        for name in stage.reasons().keys() & FATES.keys():
            seconds.setdefault(name, time.monotonic() - faults[name])
        return seconds.keys() == FATES.keys()

    with ThreadPoolExecutor(1) as aside:
        shot = aside.submit(stage.shoot, [*shots, *others])
        wait_for(all_ended, 90, f"the end of all; so far {seconds}", 0.5)
        shot.result()
    assert jobs["hungry"].end() == -9
    ended = {*FATES, *(name for name, _ in shots + others)}
    wait_for(lambda: stage.reasons().keys() == ended, 20, f"the counts of {ended}")
    reasons = stage.reasons()

    def all_fire() -> bool:
        return all(stage.fired(server) >= RIGHT for server in stage.servers.values())

    try:
        wait_for(all_fire, 40, "all alerts", 0.5)
    except AssertionError as error:
        missing = {generation: RIGHT - stage.fired(server) for generation, server in stage.servers.items()}
        raise AssertionError(f"missing: {missing}") from error
    fired = {generation: stage.fired(server) for generation, server in stage.servers.items()}
    return Story(
        fired,
        {generation: increases(server) for generation, server in stage.servers.items()},
        reasons,
        seconds,
        killed,
        thawed(stage, jobs["frozen"]),
        house,
    )


def increases(server: Prometheus) -> list[float | None]:
    """At the moment of a scrape, then at other moments; see test_increase.py for why so many scrapes come first."""
    series = f'{pipelines.RUNS.prometheus}{{pipeline=~"shot-.*",result="failure"}}'
    wait_for(lambda: (server.value(f"min(count_over_time({series}[1h]))") or 0) > 112, 90, "112 scrapes", interval=0.5)
    last = server.value(f"max(timestamp({series}))")
    increase = f"sum(increase({series}[1h]))"
    return [server.value(increase, last), *(server.value(increase) for _ in range(5))]


def thawed(stage: Stage, job: Job) -> dict[str, Any]:
    """What is shown of a run that was given up, once its job goes on and ends well."""
    house = stage.house
    job.go_on()
    job.tell("items 3")
    job.begin("end")
    assert job.end() == 0
    wait_for(partial(house.value, pipelines.RUNS_CORRECTED.prometheus, pipeline="frozen"), 20, "the correction")
    wait_for(lambda: house.value(pipelines.PHASE_ITEMS.prometheus, pipeline="frozen", phase="P01") == 10, 20, "items")
    return {
        "runs": house.value(pipelines.RUNS.prometheus, pipeline="frozen"),
        "state": house.value(pipelines.SLOT_RUN_STATE.prometheus, pipeline="frozen"),
        "by result": house.value(pipelines.RUNS_CORRECTED.prometheus, pipeline="frozen", result="success"),
    }


# --- what came of it


def test_each_run_ends_with_the_reason_of_its_end(story: Story) -> None:
    for name, seconds in sorted(story.seconds.items()):
        print(f"{name} ({FATES[name][1]}): given up after {seconds:.1f} s")  # noqa: T201 - for readers of `pytest -s`
    found = {name: story.reasons[name] for name in FATES}
    assert found == {name: ("error", reason) for name, (_, reason) in FATES.items()}
    assert story.reasons["parent"] == ("error", "killed")
    assert story.reasons["outside"] == ("failure", "exception")
    assert story.reasons["healthy"] == ("success", "completed")


def test_nothing_is_under_way_for_ever(story: Story) -> None:
    house = story.house
    assert house.value(pipelines.RUN_ACTIVE.prometheus) == 0
    assert house.value(pipelines.PHASE_ACTIVE.prometheus) == 0
    assert min(house.metrics(pipelines.SLOT_RUN_STATE.prometheus).values()) >= 4
    assert house.metrics(pipelines.RUN_ETA.prometheus) == {}
    assert "No run" in house.run("runs", "list", "--running").stdout


@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_end_has_its_alert_and_who_ended_well_has_none(story: Story, generation: str) -> None:
    if generation not in story.fired:
        pytest.skip(f"Prometheus {generation} is not on this machine")
    assert story.fired[generation] == RIGHT


@pytest.mark.parametrize("generation", GENERATIONS)
def test_twenty_one_shot_jobs_that_fail_are_twenty(story: Story, generation: str) -> None:
    """Ten pipelines that nobody had heard of, two jobs each."""
    if generation not in story.increases:
        pytest.skip(f"Prometheus {generation} is not on this machine")
    at_scrape, *between = story.increases[generation]
    assert at_scrape == pytest.approx(SHOTS, rel=1e-9)
    assert between == pytest.approx([SHOTS] * len(between), rel=0.01)


def test_the_real_end_corrects_and_is_no_second_run(story: Story) -> None:
    assert story.corrected == {"runs": 1, "by result": 1, "state": 4}


def test_a_killed_run_is_told_at_the_terminal(story: Story) -> None:
    shown = story.house.run("runs", "show", story.killed["hungry"])
    assert shown.returncode == 0, shown.stderr
    assert f"hungry {story.killed['hungry']}: error (oom_killed" in shown.stdout
    assert "host box" in shown.stdout
    frozen = story.house.run("runs", "show", story.killed["frozen"])
    assert "It was taken for lost and counted as error" in frozen.stdout


def test_a_forgotten_pipeline_is_gone_from_a_running_exporter_and_its_history_is_not(story: Story) -> None:
    house = story.house

    def series() -> list[str]:
        return [line for line in house.get("/metrics")[1].splitlines() if 'pipeline="outside"' in line]

    assert series()
    done = house.run("runs", "forget", "outside")
    assert (done.returncode, done.stdout) == (0, "outside is forgotten\n"), done.stderr
    wait_for(lambda: not series(), 5, "its series to end")
    assert "outside" in house.run("runs", "list", "outside").stdout
