"""Hosts that push: through the real Collector to the real exporter, and who is there, has left or is missing."""

from __future__ import annotations

import contextlib
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric, Sample
from support import wait_for
from support_collector import Gateway
from support_hosts import FakeHost, report_of
from support_house import House
from support_otlp import metrics_of, span, traces_of
from support_prometheus import prometheus_program, running_prometheus
from support_stack import otlp_sink, post, running

pytestmark = pytest.mark.stack

ROSTER = {"expected": ["node-9"], "missing_after": 2, "confirm_after": 2}
EVERYTHING = [
    hosts.LOAD_1M(0.5),
    hosts.CPU_COUNT(8),
    hosts.CPU_TIME(123_456.75, cpu_mode="user"),
    hosts.CPU_TIME(math.inf, cpu_mode="idle"),
    hosts.TEMPERATURE(math.nan, hw_id="0"),
    hosts.FILESYSTEM_USAGE(
        2**53, system_filesystem_mountpoint="/data", system_filesystem_type="ext4", system_filesystem_state="used"
    ),
    hosts.GPU_INFO(1, hw_id="0", uuid="GPU-1", model="H200", driver="570", mig_profile=""),
    hosts.GPU_XIDS(3, hw_id="0", xid="79"),
    hosts.INFO(
        1,
        region="eu-central-1",
        zone="euc1-az1",
        deployment_type="ec2",
        instance_type="p5.48xlarge",
        lifecycle="spot",
        cpus="192",
        memory_gib="2048",
        gpus="8",
        gpu_model="H200",
    ),
]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "exporter", {"roster": ROSTER}) as house:
        yield house


@contextlib.contextmanager
def node(name: str, sink: str) -> Iterator[FakeHost]:
    sender = FakeHost(name, sink)
    try:
        yield sender
    finally:
        sender.close()


def state(house: House, host: str) -> str:
    found = house.metrics(hosts.STATE.prometheus)
    [shown] = [dict(series)["state"] for series, value in found.items() if value and ("host_name", host) in series]
    return shown


def until(house: House, host: str, wanted: str) -> None:
    wait_for(lambda: state(house, host) == wanted, 15, f"{host} to be {wanted}")


def series(house: House, host: str, metric: Metric) -> dict[tuple[str, ...], float]:
    """Values of a host's series by their labels, without its name."""
    found = house.metrics(metric.prometheus)
    return {
        tuple(dict(labels)[name] for name in metric.label_names[1:]): value
        for labels, value in found.items()
        if ("host_name", host) in labels
    }


def test_what_a_host_says_arrives_unharmed_straight_and_through_the_collector(tmp_path: Path, house: House) -> None:
    gateway = Gateway(tmp_path, house.http)
    with gateway.up(), node("node-1", house.http) as straight, node("node-2", gateway.http) as around:
        straight.report(*EVERYTHING)
        around.report(*EVERYTHING)
        for name in ("node-1", "node-2"):
            wait_for(lambda name=name: series(house, name, hosts.LOAD_1M), 10, f"{name} on the page")  # type: ignore[misc]
            for sample in EVERYTHING:
                shown = series(house, name, sample.metric)[sample.labels[1:]]
                assert repr(float(shown)) == repr(float(sample.value)), (name, sample)
            assert state(house, name) == "reporting"
        assert house.value(hosts.REPORTS_REJECTED.prometheus) == 0
        facts = "p5.48xlarge,eu-central-1,spot"
        listed = wait_for(lambda: [row for row in _listed(house) if facts in row], 15, "both in the ledger")
        assert {row.partition(",")[0] for row in listed} == {"node-1", "node-2"}


def test_a_host_comes_leaves_returns_and_is_missed(house: House) -> None:
    assert state(house, "node-9") == "never_seen"
    with node("node-1", house.http) as sender, node("node-9", house.http) as expected:
        sender.report(hosts.LOAD_1M(1))
        expected.report(hosts.LOAD_1M(1))
        assert (state(house, "node-1"), state(house, "node-9")) == ("reporting", "reporting")
        sender.goodbye(hosts.LOAD_1M(1))
        assert state(house, "node-1") == "goodbye"
        assert series(house, "node-1", hosts.LOAD_1M) == {}
        late = time.time_ns()
        sender.report(hosts.LOAD_1M(2))
        sender.goodbye(at=late)  # a spool brings it after the new start
        assert state(house, "node-1") == "reporting"
    until(house, "node-1", "missing")
    assert series(house, "node-1", hosts.LOAD_1M) == {}
    assert house.value(hosts.LAST_REPORT.prometheus, host_name="node-1") <= time.time() - 2


def test_silence_after_a_notice_is_a_reclaim(house: House) -> None:
    with node("spot-1", house.http) as sender:
        sender.report(hosts.SPOT_ACTION(time.time() + 120, action="terminate"))
        assert state(house, "spot-1") == "notice"
    until(house, "spot-1", "reclaimed")


def test_a_restart_keeps_the_roster_and_waits_before_it_misses_anybody(house: House) -> None:
    with (
        node("node-1", house.http) as steady,
        node("node-2", house.http) as leaving,
        node("node-3", house.http) as lost,
    ):

        def confirmed() -> bool:
            for sender in (steady, leaving, lost):
                sender.report(hosts.LOAD_1M(1))
            return house.value(hosts.EXPECTED.prometheus) == 5

        wait_for(confirmed, 15, "three hosts that are expected, beside this machine and the one of the settings", 0.3)
        leaving.goodbye()
        house.stop()
        stopped = time.time()
        wait_for(lambda: time.time() > stopped + 3, 5, "longer than a host may be silent")
        house.start()
        assert [state(house, name) for name in ("node-1", "node-2", "node-3")] == ["reporting", "goodbye", "reporting"]
        assert house.value(hosts.EXPECTED.prometheus) == 5

        def missed() -> bool:
            steady.report(hosts.LOAD_1M(1))
            return state(house, "node-3") == "missing"

        wait_for(missed, 15, "the lost one to be missing", 0.3)
        assert state(house, "node-1") == "reporting"
        wait_for(lambda: "missing" in house.run("hosts", "list").stdout, 15, "a checkpoint")
        house.kill9()
        house.start()
        assert [state(house, name) for name in ("node-2", "node-3")] == ["goodbye", "missing"]


def test_who_is_forgotten_at_a_terminal_is_gone_from_the_page(house: House) -> None:
    with node("node-1", house.http) as sender:
        sender.report(hosts.LOAD_1M(1))
        wait_for(lambda: "node-1" in house.run("hosts", "list").stdout, 15, "the host in the ledger")
        assert house.run("hosts", "confirm", "node-1").stdout == "node-1 is expected from now on\n"
        assert house.value(hosts.EXPECTED.prometheus, host_name="node-1") == 1
        assert house.run("hosts", "forget", "node-1").stdout == "node-1 is forgotten\n"
        assert "node-1" not in house.get("/metrics")[1]


def test_prometheus_takes_a_page_on_which_hosts_repeat_themselves(tmp_path: Path, house: House) -> None:
    """Two senders of one name, series said twice, and the exporter's own name: none of them costs a scrape."""
    program = prometheus_program("3.")
    with (
        running_prometheus(program, tmp_path / "prometheus", {"page": house.web}) as prometheus,
        node("node-1", house.http) as other,
        node(_own_name(house), house.http) as own,
    ):
        load = f"{hosts.LOAD_1M.prometheus}{{host_name='node-1'}}"

        def scraped_often() -> bool:
            at = time.time_ns()
            twice = report_of("node-1", [hosts.LOAD_1M(1)], at) + report_of("node-1", [hosts.LOAD_1M(3)], at)
            assert post(f"http://{house.http}/v1/metrics", twice) == 200
            other.report(hosts.LOAD_1M(2), hosts.UPTIME(5))
            own.report(*EVERYTHING)
            return (prometheus.value(f"count_over_time({load}[10m])") or 0) >= 4

        wait_for(scraped_often, 30, "the host in four scrapes", 0.2)
        assert prometheus.value("min_over_time(up[10m])") == 1
        assert house.value(hosts.REPORTS_REJECTED.prometheus, reason="collected_here") > 0


@contextlib.contextmanager
def sidecar(folder: Path, name: str, sink: str) -> Iterator[subprocess.Popen[bytes]]:
    """The real one, told to report every second."""
    folder.mkdir()
    settings = {
        "data_dir": str(folder / "data"),
        "host": {"name": name},
        "sidecar": {"forward": f"http://{sink}", "interval": 1},
        "web": {"listen": "127.0.0.1:0"},
        "receive": {"http": {"listen": "127.0.0.1:0"}},
    }
    config = folder / "fleetwatch.yml"
    config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    command = [sys.executable, "-m", "fleetwatch", "sidecar", "--config", str(config)]
    with running(command, folder / "sidecar.log") as process:
        yield process


def test_real_sidecars_come_say_goodbye_and_are_missed(tmp_path: Path, house: House) -> None:
    gateway = Gateway(tmp_path, house.http)
    with (
        gateway.up(),
        sidecar(tmp_path / "one", "node-1", gateway.http) as polite,
        sidecar(tmp_path / "two", "node-2", house.http) as lost,
    ):
        for name in ("node-1", "node-2"):
            wait_for(lambda name=name: series(house, name, hosts.LOAD_1M), 30, f"{name} on the page")  # type: ignore[misc]
            assert state(house, name) == "reporting"
        assert house.value(hosts.REPORTS_REJECTED.prometheus) == 0
        polite.terminate()
        lost.kill()
        until(house, "node-1", "goodbye")
        until(house, "node-2", "missing")


def test_a_fleet_of_hundreds_fits_into_a_scrape(tmp_path: Path) -> None:
    """300 hosts of 600 series: Prometheus takes all of them within its own bounds."""
    program = prometheus_program("3.")
    settings = {"labels": {"max_series": 190_000}, "roster": {"missing_after": 100}}
    groups = [f"group-{number}" for number in range(50)]
    what = [
        *(
            hosts.GROUP_CPU_TIME(number, process_group=name, cpu_mode=mode)
            for number, name in enumerate(groups)
            for mode in hosts.CPU_MODE.one_of
        ),
        *(
            hosts.GROUP_DISK_IO(7, process_group=name, disk_io_direction=way)
            for name in groups
            for way in ("read", "write")
        ),
        *(hosts.GROUP_FILES(8, process_group=name) for name in groups),
        *(hosts.TEMPERATURE(9.5, hw_id=name) for name in groups[:49]),
    ]
    assert len(what) == 599  # and the interval between reports
    with House(tmp_path / "exporter", settings) as house:
        for number in range(300):
            with node(f"node-{number}", house.http) as sender:
                sender.report(*what)
        targets = {"fleetwatch": house.web}
        with running_prometheus(program, tmp_path / "prometheus", targets, interval=5) as prometheus:
            total = "count({host_name=~'node-.*',__name__!~'host_.*'})"
            wait_for(lambda: prometheus.value(total), 40, "a scrape")
            assert prometheus.value(total) == 300 * 599
            assert prometheus.value("sum(host_state{host_name=~'node-.*',state='reporting'})") == 300
            assert prometheus.value("min_over_time(up[10m])") == 1
        assert _resident(house) < 500 << 20
        assert house.value(hosts.REPORTS_REJECTED.prometheus) == 0


def _resident(house: House) -> int:
    assert house.process is not None
    fields = Path(f"/proc/{house.process.pid}/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize()


def test_labels_of_hosts_are_let_through_for_hosts_alone(tmp_path: Path) -> None:
    """They are plain words; an application may put a sentence under any of them."""
    secret = "canary-7f3a of jane.doe"
    plain = {name: secret for _, name in _plain_labels()}
    with otlp_sink() as sink:
        gateway = Gateway(tmp_path, f"127.0.0.1:{sink.port}")
        with gateway.up():
            resource = {"service.name": "triage", "team": "support", **plain}
            traces = traces_of([span({**plain, "gen_ai.operation.name": "chat"})], resource)
            assert gateway.send("traces", traces.SerializeToString()) == 200
            metrics = metrics_of([], resource)
            point = metrics.resource_metrics[0].scope_metrics[0].metrics.add(name="x").gauge.data_points.add(as_int=1)
            for name in plain:
                point.attributes.add(key=name).value.string_value = secret
            assert gateway.send("metrics", metrics.SerializeToString()) == 200
            wait_for(lambda: len(sink.requests) == 2, 10, "both requests")
    assert secret not in "\n".join(str(request) for request in sink.requests)
    [arrived] = [request for request in sink.requests if isinstance(request, ExportTraceServiceRequest)]
    kept = {item.key: item.value.string_value for item in arrived.resource_spans[0].resource.attributes}
    assert kept == {"service.name": "triage", "team": "support"}


def _plain_labels() -> list[tuple[Metric, str]]:
    return [(sample.metric, name) for sample in [*EVERYTHING, *_more()] for name in sample.metric.label_names]


def _more() -> list[Sample]:
    return [hosts.SPOT_ACTION(1, action="stop"), hosts.CPU_TIME(1, cpu_mode="user")]


def _listed(house: House) -> list[str]:
    return house.run("hosts", "list", "--format", "csv").stdout.splitlines()


def _own_name(house: House) -> str:
    """The name under which the exporter shows its own machine."""
    wait_for(lambda: house.metrics(hosts.UPTIME.prometheus), 20, "the exporter's own host")
    [shown] = house.metrics(hosts.UPTIME.prometheus)
    return dict(shown)["host_name"]
