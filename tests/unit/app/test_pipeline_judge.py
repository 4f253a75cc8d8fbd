"""Runs that fall silent: who is given up, when, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleetwatch.app.pipelines.hosts import Kills, Machine, own_kills
from fleetwatch.app.pipelines.judge import DEAF, PATIENCE, Judge
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.pipelines import RunReport
from fleetwatch.settings import from_dict
from support_pipeline_house import START, a_run, with_phases


class Court:
    """A judge with a clock, and machines that report."""

    def __init__(self, **settings: Any) -> None:
        self.now = START
        self.machines: dict[str, Machine] = {}
        self.judge = Judge(from_dict({"pipelines": settings}), self.machines.get, lambda: self.now)

    def after(self, seconds: float, *runs: Any, step: float = 1.0) -> list[RunReport]:
        """Look once a second; the reports of the last look."""
        found: list[RunReport] = []
        for _ in range(round(seconds / step)):
            self.now += int(step * SECOND)
            found = self.judge.judge(runs)
        return found

    def hear(self, host: str, state: str = "reporting", *, killed: tuple[int, ...] = ()) -> None:
        """A machine that reports every 15 seconds, and looks at itself every 10, does so now."""
        self.machines[host] = Machine(state, self.now, 15 * SECOND, 10 * SECOND, killed)


@pytest.fixture
def court() -> Court:
    return Court()


def test_a_run_is_given_up_after_three_of_its_intervals_and_ends_when_it_was_last_heard(court: Court) -> None:
    run = a_run(started=START - 60 * SECOND, sent=START - 2 * SECOND)
    late = with_phases(run, sent=START - SECOND)
    assert court.after(29, late) == []
    assert court.after(1, late) == [
        RunReport(
            "nightly", "run-1", START + 30 * SECOND, state="ended", result="error", reason="lost",
            ended=START - SECOND, source="judged",
        )
    ]  # fmt: skip


def test_short_intervals_are_borne_for_15_s(court: Court) -> None:
    run = with_phases(a_run(interval=SECOND))
    assert court.after(14, run) == []
    assert len(court.after(1, run)) == 1


def test_a_sender_that_tells_only_begin_and_end_has_a_day() -> None:
    court = Court(silent_after="60s")
    run = with_phases(a_run(interval=None))
    assert court.after(59, run) == []
    assert court.after(1, run)[0].reason == "lost"


@pytest.mark.parametrize("state", ["goodbye", "reclaimed", "missing"])
def test_a_run_goes_with_its_machine(court: Court, state: str) -> None:
    court.hear("node-1", state)
    assert court.after(30, with_phases(a_run(host="node-1")))[0].reason == "host_gone"


def test_nothing_is_said_before_the_machine_was_heard_or_missed(court: Court) -> None:
    """The roster misses a machine later than a run is given up: silence of both may be one and the same."""
    court.hear("node-1")
    run = with_phases(a_run(host="node-1"))
    assert court.after(40, run) == []
    court.hear("node-1", "missing")
    assert court.after(1, run)[0].reason == "host_gone"


def test_a_machine_that_reports_on_has_outlived_its_run(court: Court) -> None:
    run = with_phases(a_run(host="node-1"))
    court.after(12, run)
    court.hear("node-1")
    assert court.after(17, run) == []
    assert court.after(1, run)[0].reason == "died"


def test_word_of_the_machine_is_not_waited_for_without_end(court: Court) -> None:
    """Its sidecar reports once an hour."""
    court.hear("node-1")
    run = with_phases(a_run(host="node-1"))
    assert court.after(29 + PATIENCE / SECOND, run) == []
    assert court.after(1, run)[0].reason == "lost"


def test_a_kill_for_want_of_memory_since_the_last_report(court: Court) -> None:
    run = with_phases(a_run(host="node-1"))
    court.after(12, run)
    court.hear("node-1", killed=(START + 5 * SECOND,))
    assert court.after(18, run)[0].reason == "oom_killed"


def test_a_kill_before_the_last_report_was_not_this_run_s(court: Court) -> None:
    run = with_phases(a_run(host="node-1"))
    court.after(12, run)
    court.hear("node-1", killed=(START - SECOND,))
    assert court.after(18, run)[0].reason == "died"


@pytest.mark.parametrize(("earlier", "reason"), [((), "died"), ((START + 5 * SECOND,), "oom_killed")])
def test_a_kill_long_after_the_run_fell_silent_was_somebody_else(
    court: Court, earlier: tuple[int, ...], reason: str
) -> None:
    """It says nothing of the run, though its machine told late; nor does it hide the kill that was the run's."""
    run = with_phases(a_run(host="node-1"))
    court.hear("node-1")
    assert court.after(66, run) == []
    court.hear("node-1", killed=(*earlier, court.now))
    assert court.after(1, run)[0].reason == reason


def test_a_report_that_was_on_the_way_when_memory_ran_out(court: Court) -> None:
    """Told at 0, killed at 2, and the report came at 4: a Collector had gathered it."""
    run = with_phases(a_run(host="node-1", sent=START, seen=START + 4 * SECOND))
    court.after(16, run)
    court.hear("node-1", killed=(START + 2 * SECOND,))
    assert court.after(18, run)[0].reason == "oom_killed"


def test_a_restart_gives_everybody_time_to_report_again(court: Court) -> None:
    run = with_phases(a_run(seen=START - 3600 * SECOND))
    assert court.after(29, run) == []
    assert len(court.after(1, run)) == 1


@pytest.mark.parametrize("jump", [3600.0, -3600.0, DEAF / SECOND + 1])
def test_a_clock_that_jumps_or_a_process_that_stood_still_gives_nobody_up(court: Court, jump: float) -> None:
    run = with_phases(a_run())
    court.after(20, run)
    court.now += int(jump * SECOND)
    assert court.after(29, run) == []
    assert len(court.after(2, run)) == 1


class TestKills:
    def test_a_counter_that_rises_is_a_kill_and_one_that_begins_anew_is_none(self) -> None:
        kills = Kills()
        kills.take("a", 7, START)
        assert kills.seen("a") == ()
        kills.take("a", 8, START + 1)
        kills.take("a", 8, START + 2)
        assert kills.seen("a") == (START + 1,)
        kills.take("a", 0, START + 3)
        assert kills.seen("a") == (START + 1,)
        kills.take("a", 1, START + 4)
        assert kills.seen("a") == (START + 1, START + 4)
        kills.forget("a")
        assert kills.seen("a") == ()

    def test_this_machine_s_kernel(self, tmp_path: Path) -> None:
        assert own_kills(tmp_path) is None
        (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 12\nunevictable_pgs_culled 4\n")
        assert own_kills(tmp_path) == 12
        (tmp_path / "vmstat").write_text("nr_free_pages 1\n")
        assert own_kills(tmp_path) is None
