"""Reports in, series out: each series once, only of who is there, and the roster of who should be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.app.hosts import Hosts
from fleetwatch.app.pipelines.hosts import Machine
from fleetwatch.catalogue import exporter, host_metrics, hosts
from fleetwatch.catalogue.metric import Sample, gauge
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.roster import Request
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from fleetwatch.settings import from_dict
from support_hosts import SECOND, read, report_of
from support_ledger import BOOK
from support_program import Series, labels, samples

START = 1_800_000_000 * SECOND
OWN = "exporter-1"


class Desk:
    """Hosts before a meter, with a clock in seconds."""

    def __init__(self, **sections: Any) -> None:
        self.now = START
        self.settings = from_dict(sections)
        self.meter = Meter(overflow=exporter.LABEL_OVERFLOW, implied={hosts.HOST.name: OWN})
        self.hosts = self._made()

    def _made(self) -> Hosts:
        return Hosts(self.settings, self.meter, OWN, ["own_process"], lambda: self.now)

    def restart(self) -> None:
        """A new process that knows what the old one wrote."""
        changes = self.hosts.changes()
        self.meter = Meter(implied={hosts.HOST.name: OWN})
        self.hosts = self._made()
        self.hosts.load(changes.hosts)

    def report(self, host: str, *what: Sample, at: int | None = None) -> None:
        told: Iterable[Sample] = (*what, hosts.REPORT_INTERVAL(15))
        self.hosts.take(read(report_of(host, told, self.now if at is None else at), self.now))

    def after(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)
        self.hosts.watch()

    def shown(self, metric: Any) -> dict[Series, float]:
        text = exposition(self.meter, openmetrics=False)
        lines = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
        assert len(lines) == len(set(lines)), "a series stands twice: Prometheus would drop the scrape"
        return samples(text).get(metric.prometheus, {})

    def roster(self, metric: Any) -> dict[Series, float]:
        """The others' series of the roster, without those of the exporter's own machine."""
        return {series: value for series, value in self.shown(metric).items() if ("host_name", OWN) not in series}

    def state(self, host: str) -> str:
        self.hosts.watch()
        [state] = [
            dict(series)["state"]
            for series, value in self.shown(hosts.STATE).items()
            if value and ("host_name", host) in series
        ]
        return state

    def rejected(self) -> dict[str, float]:
        return {dict(series)["reason"]: n for series, n in self.shown(hosts.REPORTS_REJECTED).items() if n}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_values_are_shown_as_they_were_sent_and_replaced_by_the_next_report(desk: Desk) -> None:
    for value in (0.5, 1.5, 2.5):
        desk.report("node-1", hosts.LOAD_1M(value), hosts.CPU_TIME(value * 100, cpu_mode="user"))
        assert desk.shown(hosts.LOAD_1M) == {labels(host_name="node-1"): value}
        assert desk.shown(hosts.CPU_TIME) == {labels(host_name="node-1", cpu_mode="user"): value * 100}
        desk.after(15)
    desk.report("node-1", hosts.LOAD_1M(9))
    assert desk.shown(hosts.CPU_TIME) == {}
    assert desk.shown(hosts.LOAD_1M) == {labels(host_name="node-1"): 9}


def test_an_older_report_changes_nothing(desk: Desk) -> None:
    desk.report("node-1", hosts.LOAD_1M(2))
    desk.report("node-1", hosts.LOAD_1M(1), at=desk.now - SECOND)
    assert desk.shown(hosts.LOAD_1M) == {labels(host_name="node-1"): 2}


def test_pieces_of_one_report_are_shown_together_however_often_they_come(desk: Desk) -> None:
    for _ in range(2):
        desk.report("node-1", hosts.LOAD_1M(1))
        desk.report("node-1", hosts.LOAD_5M(5), hosts.LOAD_1M(1))
    assert desk.shown(hosts.LOAD_1M) == {labels(host_name="node-1"): 1}
    assert desk.shown(hosts.LOAD_5M) == {labels(host_name="node-1"): 5}
    desk.after(15)
    desk.report("node-1", hosts.LOAD_1M(2))
    assert desk.shown(hosts.LOAD_5M) == {}


def test_a_series_that_a_report_says_twice_is_shown_once(desk: Desk) -> None:
    once = read(report_of("node-1", [hosts.LOAD_1M(1), hosts.UPTIME(3)], desk.now), desk.now)
    for turn in range(3):
        twice = once._replace(at=once.at + turn, forms=once.forms * 2, values=[1.0, 3.0, 2.0, 4.0])
        desk.hosts.take(twice)
        assert desk.shown(hosts.LOAD_1M) == {labels(host_name="node-1"): 2}


def test_two_senders_of_one_name_are_shown_as_one(desk: Desk) -> None:
    for turn in range(4):
        desk.report("node-1", hosts.LOAD_1M(turn))
        desk.now += 5 * SECOND
        desk.report("node-1", hosts.LOAD_1M(10 + turn), hosts.UPTIME(1))
        assert desk.shown(hosts.LOAD_1M) == {labels(host_name="node-1"): 10 + turn}
        desk.now += 5 * SECOND


@pytest.mark.parametrize("name", ["itself", "exporter", "roster", "", '"} 1\nfake 1'])
def test_a_host_of_any_name_hides_nothing_of_ours(desk: Desk, name: str) -> None:
    for source in ("host", "host itself", "exporter", "roster"):
        desk.meter.replace(source, [hosts.UPTIME(1, host_name=f"of {source}")])
    if name:
        desk.report(name, hosts.UPTIME(2))
    assert len(desk.shown(hosts.UPTIME)) == 4 + bool(name)


def test_a_silent_host_s_series_go_and_its_state_stays(desk: Desk) -> None:
    desk.report("node-1", hosts.LOAD_1M(1))
    desk.after(44)
    assert desk.state("node-1") == "reporting"
    assert desk.shown(hosts.LOAD_1M)
    desk.after(1)
    assert desk.state("node-1") == "missing"
    assert desk.shown(hosts.LOAD_1M) == {}
    assert desk.roster(hosts.LAST_REPORT) == {labels(host_name="node-1"): START / SECOND}
    desk.report("node-1", hosts.LOAD_1M(1))
    assert desk.shown(hosts.LOAD_1M)


def test_a_goodbye_takes_the_series_at_once(desk: Desk) -> None:
    desk.report("node-1", hosts.LOAD_1M(1))
    desk.now += SECOND
    desk.report("node-1", hosts.LOAD_1M(1), hosts.GOODBYE(desk.now / SECOND))
    assert desk.shown(hosts.LOAD_1M) == {}
    assert desk.shown(hosts.GOODBYE) == {}
    assert desk.state("node-1") == "goodbye"


def test_a_notice_is_a_state_and_explains_the_silence(desk: Desk) -> None:
    desk.report("node-1", hosts.SPOT_ACTION(desk.now / SECOND + 120, action="terminate"))
    assert desk.state("node-1") == "notice"
    desk.after(60)
    assert desk.state("node-1") == "reclaimed"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 9.3e9, 1e300])
def test_a_time_that_is_none_says_nothing(desk: Desk, value: float) -> None:
    desk.report("node-1", hosts.SPOT_ACTION(value, action="stop"), hosts.GOODBYE(value), hosts.LOAD_1M(value))
    assert desk.state("node-1") == "reporting"
    desk.hosts.take(read(report_of("node-2", [hosts.REPORT_INTERVAL(value)], desk.now), desk.now))
    desk.after(44)
    assert desk.state("node-2") == "reporting"


@pytest.mark.parametrize(("interval", "patience"), [(0.001, 3), (1e6, 3 * 3600)])
def test_an_interval_has_bounds(desk: Desk, interval: float, patience: float) -> None:
    desk.hosts.take(read(report_of("node-1", [hosts.REPORT_INTERVAL(interval)], desk.now), desk.now))
    desk.after(patience - 0.01)
    assert desk.state("node-1") == "reporting"
    desk.after(0.02)
    assert desk.state("node-1") == "missing"


def test_a_metric_of_a_newer_sidecar_is_counted_and_left_out(desk: Desk) -> None:
    new = gauge("system.new", unit="", help="x.", labels=(hosts.HOST,))
    more = gauge(hosts.UPTIME.name, unit="s", help="x.", labels=(hosts.HOST, hosts.DEVICE))
    for turn in (1, 2):
        desk.report("node-1", hosts.LOAD_1M(1), new(1), more(1, system_device="x"))
        assert desk.rejected() == {"unknown_metric": 2 * turn}
        desk.after(15)
    assert desk.shown(hosts.LOAD_1M) == {labels(host_name="node-1"): 1}
    assert desk.shown(hosts.UPTIME) == {}


def test_no_host_says_of_itself_what_the_roster_says(desk: Desk) -> None:
    desk.report("node-1", hosts.EXPECTED(1), hosts.LAST_REPORT(1), hosts.STATE(1, state="missing"))
    assert desk.rejected() == {"unknown_metric": 3}
    assert desk.state("node-1") == "reporting"


def test_points_about_another_host_are_counted(desk: Desk) -> None:
    report = read(report_of("node-1", [hosts.LOAD_1M(1)], desk.now), desk.now)
    desk.hosts.take(report._replace(strangers=3))
    assert desk.rejected() == {"other_host": 3}


def test_the_log_names_a_host_and_what_was_not_taken_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    new = gauge("system.new", unit="", help="x.", labels=(hosts.HOST,))
    for host in ("node-1", "node-2", "node-1"):
        desk.report(host, new(1))
        desk.after(15)
    desk.hosts.take(read(report_of("node-1", [hosts.LOAD_1M(1)], desk.now), desk.now)._replace(strangers=3))
    assert [record.getMessage() for record in caplog.records] == [
        'series of host "node-1" were not taken: unknown_metric, the first is system.new',
        'series of host "node-1" were not taken: other_host',
    ]


def test_past_the_bound_of_series_the_rest_is_counted() -> None:
    desk = Desk(roster={"max_series": 3})
    for _ in range(2):
        desk.report("node-1", *(hosts.TEMPERATURE(1, hw_id=str(number)) for number in range(5)))
        desk.after(15)
    assert desk.rejected() == {"too_many_series": 2 * 3}
    assert len(desk.meter.reported_by("host/node-1")) == 3


def test_all_hosts_together_leave_a_scrape_below_its_bound() -> None:
    desk = Desk(labels={"max_series": 30})
    for host in ("node-1", "node-2", "node-3"):
        desk.report(host, *(hosts.TEMPERATURE(1, hw_id=str(number)) for number in range(9)))
    assert len(desk.meter) <= 30 + len(hosts.REPORT_REJECT.one_of)
    assert desk.rejected()["too_many_series"] > 0
    assert len([series for series in desk.shown(hosts.TEMPERATURE) if ("host_name", "node-1") in series]) == 9


def test_past_the_bound_of_hosts_only_who_left_makes_room() -> None:
    desk = Desk(roster={"max_hosts": 2, "expected": ["node-9"]})
    for host in ("node-1", "node-2", "node-3", "node-9"):
        desk.report(host, hosts.LOAD_1M(1))
        desk.now += SECOND
    assert desk.rejected() == {"too_many_hosts": 2}
    assert {dict(series)["host_name"] for series in desk.shown(hosts.LOAD_1M)} == {"node-1", "node-2", "node-9"}
    desk.report("node-2", hosts.GOODBYE(desk.now / SECOND))
    desk.report("node-3", hosts.LOAD_1M(1))
    assert {dict(series)["host_name"] for series in desk.shown(hosts.LOAD_1M)} == {"node-1", "node-3", "node-9"}


def test_this_machine_is_not_shown_twice_but_is_in_the_roster(desk: Desk) -> None:
    desk.meter.replace("host", [hosts.LOAD_1M(7)])
    desk.report("exporter-1", hosts.LOAD_1M(1))
    assert desk.shown(hosts.LOAD_1M) == {labels(host_name="exporter-1"): 7}
    assert desk.state("exporter-1") == "reporting"
    assert desk.rejected() == {"collected_here": 2}


def test_a_sidecar_beside_the_exporter_reports_what_the_exporter_does_not_collect() -> None:
    desk = Desk(host={"enabled": False})
    desk.meter.replace("own_process", [exporter.PROCESS_MEMORY(7)])
    desk.meter.replace("own_process itself", [exporter.COLLECTOR_SUCCESS(1, collector="own_process")])
    for _ in range(2):
        desk.report(
            "exporter-1",
            hosts.LOAD_1M(1),
            exporter.PROCESS_MEMORY(8),
            *(exporter.COLLECTOR_SUCCESS(0, collector=name) for name in ("own_process", "disks")),
        )
        desk.after(15)
    me = labels(host_name="exporter-1")
    assert desk.shown(hosts.LOAD_1M) == {me: 1}
    assert desk.shown(exporter.PROCESS_MEMORY) == {me: 7}
    assert set(desk.shown(exporter.COLLECTOR_SUCCESS).values()) == {0, 1}
    assert desk.rejected() == {"collected_here": 4}


def test_the_spool_of_a_sidecar_beside_an_exporter_that_collects_is_shown(desk: Desk) -> None:
    desk.meter.replace("host", [hosts.LOAD_1M(7)])
    lost = hosts.SPOOL_DROPPED(3, signal="traces", reason="spool_full")
    desk.report(OWN, hosts.LOAD_1M(1), lost)
    assert list(desk.shown(hosts.SPOOL_DROPPED).values()) == [3]
    assert desk.shown(hosts.LOAD_1M) == {labels(host_name=OWN): 7}
    assert desk.rejected() == {"collected_here": 2}


def test_who_is_expected_and_never_came_is_shown() -> None:
    desk = Desk(roster={"expected": ["node-7"]})
    assert desk.state("node-7") == "never_seen"
    assert desk.roster(hosts.EXPECTED) == {labels(host_name="node-7"): 1}
    assert desk.roster(hosts.LAST_REPORT) == {}
    desk.report("node-7", hosts.LOAD_1M(1))
    assert desk.state("node-7") == "reporting"


def test_the_machine_that_the_exporter_looks_at_itself_reports() -> None:
    desk = Desk(roster={"expected": [OWN]})
    assert desk.state(OWN) == "reporting"
    assert desk.shown(hosts.EXPECTED) == {labels(host_name=OWN): 1}
    assert desk.shown(hosts.LAST_REPORT) == {labels(host_name=OWN): START / SECOND}
    desk.report(OWN, hosts.GOODBYE(START / SECOND))
    assert desk.state(OWN) == "goodbye"  # what its sidecar says goes first
    blind = Desk(roster={"expected": [OWN]}, host={"enabled": False})
    assert blind.state(OWN) == "never_seen"


def test_every_state_of_a_host_is_shown_as_one_or_zero(desk: Desk) -> None:
    desk.report("node-1")
    desk.hosts.watch()
    assert len(desk.roster(hosts.STATE)) == len(hosts.HOST_STATE.one_of)
    assert sum(desk.roster(hosts.STATE).values()) == 1


def test_a_restart_forgets_nobody_and_misses_nobody_too_early() -> None:
    desk = Desk(roster={"confirm_after": 30})
    for _ in range(3):
        for host in ("steady", "lost", "left"):
            desk.report(host)
        desk.after(15)
    desk.report("left", hosts.GOODBYE(desk.now / SECOND))
    desk.now += 7200 * SECOND  # the exporter is down
    desk.restart()
    assert [desk.state(host) for host in ("steady", "lost", "left")] == ["reporting", "reporting", "goodbye"]
    desk.after(44)
    desk.report("steady")
    desk.after(1)
    assert [desk.state(host) for host in ("steady", "lost", "left")] == ["reporting", "missing", "goodbye"]
    assert set(desk.shown(hosts.EXPECTED).values()) == {1}


def test_who_was_missing_before_a_restart_still_is(desk: Desk) -> None:
    desk.report("node-1")
    desk.after(60)
    desk.restart()
    assert desk.state("node-1") == "missing"


def test_a_ledger_that_opens_late_knows_the_past_and_reports_the_present(desk: Desk) -> None:
    desk.report("node-1")
    [old] = desk.hosts.changes().hosts
    desk.now += 3600 * SECOND
    late = Desk()
    late.now = desk.now
    late.report("node-1", hosts.LOAD_1M(1))
    late.hosts.load([old._replace(confirmed_at=5)])
    [host] = late.hosts.changes().hosts
    assert (host.first_seen, host.confirmed_at, host.last_report) == (old.first_seen, 5, desk.now)


def test_a_ledger_that_opens_late_does_not_bring_back_who_was_forgotten() -> None:
    desk = Desk(roster={"forget_after": 60})
    desk.report("node-1")
    [old] = desk.hosts.changes().hosts
    desk.now += SECOND
    desk.report("node-1", hosts.GOODBYE(desk.now / SECOND))
    desk.after(61)
    desk.hosts.load([old])
    assert desk.roster(hosts.STATE) == {}
    assert desk.hosts.changes().forgotten == ["node-1"]


def test_what_is_asked_at_a_terminal_is_done(desk: Desk) -> None:
    desk.report("node-1", hosts.LOAD_1M(1))
    desk.report("node-2", hosts.LOAD_1M(1))
    desk.report("node-3", hosts.LOAD_1M(1))
    desk.hosts.obey([Request(4, "node-1", "confirm"), Request(5, "node-2", "forget"), Request(6, "nobody", "forget")])
    desk.hosts.obey([Request(7, "node-3", "forget_agent")])
    desk.hosts.watch()
    assert desk.roster(hosts.EXPECTED) == {labels(host_name="node-1"): 1, labels(host_name="node-3"): 0}
    assert desk.shown(hosts.LOAD_1M) == {labels(host_name="node-1"): 1, labels(host_name="node-3"): 1}
    changes = desk.hosts.changes()
    assert (changes.forgotten, changes.done) == (["node-2"], 7)
    desk.hosts.written(changes)
    assert desk.hosts.changes() == ([], [], 0)


def test_who_is_gone_for_long_is_forgotten_and_leaves_nothing_behind() -> None:
    desk = Desk(roster={"forget_after": 60})
    for number in range(50):
        desk.report(f"pod-{number}", hosts.LOAD_1M(1))
        desk.now += SECOND
        desk.report(f"pod-{number}", hosts.GOODBYE(desk.now / SECOND))
        desk.after(1)
    desk.after(61)
    assert desk.roster(hosts.STATE) == {}
    assert {sample.labels[0] for sample in desk.meter.reported_by("roster")} == {OWN}
    assert len(desk.hosts.changes().forgotten) == 50


def test_whatever_a_host_says_can_be_written(tmp_path: Path) -> None:
    """A value that the ledger cannot hold would stop every checkpoint from then on."""
    desk = Desk()
    for number, value in enumerate([float("nan"), -1e300, 1e300, 8.99e9, 2.0**63]):
        odd = [metric(value) for metric in (hosts.GOODBYE, hosts.REPORT_INTERVAL)]
        report = report_of(f"no\ud800de-{number}", [*odd, hosts.SPOT_ACTION(value, action="stop")], desk.now)
        desk.hosts.take(read(report, desk.now))
    ledger = Ledger(tmp_path / "ledger.db", BOOK)
    ledger.checkpoint(hosts=desk.hosts.changes())
    assert len(ledger.hosts()) == 5
    ledger.close()


def test_the_host_s_name_is_the_first_label_of_all_that_a_host_reports() -> None:
    assert {metric.implied for metric in host_metrics().values()} == {0}


def test_what_is_known_of_a_run_s_machine(tmp_path: Path) -> None:
    """Whether memory ran out since its last report; of this machine the kernel is asked, at once."""
    (tmp_path / "vmstat").write_text("oom_kill 3\n")
    desk = Desk(host={"proc": str(tmp_path)})
    desk.report("node-1", hosts.OOM_KILLS(5), hosts.LOAD_1M(1))
    assert desk.hosts.machine("node-1") == Machine("reporting", START, 15 * SECOND, 15 * SECOND, ())
    assert desk.hosts.machine("nobody") is None
    assert desk.hosts.machine(OWN) == Machine("reporting", START, SECOND, 0, ())
    desk.after(15)
    desk.report("node-1", hosts.OOM_KILLS(6), hosts.LOAD_1M(1))
    (tmp_path / "vmstat").write_text("oom_kill 4\n")
    assert desk.hosts.machine("node-1") == Machine("reporting", desk.now, 15 * SECOND, 15 * SECOND, (desk.now,))
    assert desk.hosts.machine(OWN) == Machine("reporting", desk.now, SECOND, 0, (desk.now,))
    killed = desk.now
    # Its own sidecar's word is older than the kernel's, and must not look like a counter that begins anew.
    desk.report(OWN, hosts.OOM_KILLS(3))
    desk.after(60)
    assert desk.hosts.machine(OWN) == Machine("reporting", desk.now, SECOND, 0, (killed,))
    assert desk.hosts.machine("node-1") == Machine("missing", killed, 15 * SECOND, 15 * SECOND, (killed,))
    desk.hosts.obey([Request(1, "node-1", "forget")])
    assert desk.hosts.machine("node-1") is None


def test_memory_that_ran_out_before_a_run_began_is_none_of_its_business(tmp_path: Path) -> None:
    """Nobody asks about this machine while no run is on it."""
    (tmp_path / "vmstat").write_text("oom_kill 3\n")
    desk = Desk(host={"proc": str(tmp_path)})
    desk.after(5)
    (tmp_path / "vmstat").write_text("oom_kill 4\n")
    desk.after(5)
    killed = desk.now
    desk.after(3600)
    assert desk.hosts.machine(OWN) == Machine("reporting", desk.now, SECOND, 0, (killed,))
