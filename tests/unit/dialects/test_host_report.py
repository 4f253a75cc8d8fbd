"""What a sidecar sends becomes a report of its host, and of no other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import gauge
from fleetwatch.dialects import Translation, decode, host_report, translate_metrics
from fleetwatch.records.hosts import HostReport
from support_hosts import named, read, report_of
from support_otlp import NOW, SECOND


def found(body: bytes, now: int = NOW) -> Translation:
    return translate_metrics(decode(ExportMetricsServiceRequest, body), now)


def message(samples: list[object], host: str = "node-1") -> ExportMetricsServiceRequest:
    return decode(ExportMetricsServiceRequest, report_of(host, samples, NOW))  # type: ignore[arg-type]


def test_a_report_says_who_when_and_what() -> None:
    samples = [
        hosts.LOAD_1M(0.5),
        hosts.CPU_TIME(7, cpu_mode="user"),
        hosts.CPU_TIME(math.inf, cpu_mode="idle"),
        hosts.UPTIME(0),
        hosts.NETWORK_UP(-0.0, network_interface_name="eth0"),
    ]
    for _ in range(2):  # the second time, series are known
        report = read(report_of("node-1", samples, NOW - SECOND), NOW)
        assert (report.host, report.at, report.strangers) == ("node-1", NOW - SECOND, 0)
        assert named(report) == {
            (hosts.LOAD_1M.name, ()): 0.5,
            (hosts.CPU_TIME.name, (("cpu_mode", "user"),)): 7,
            (hosts.CPU_TIME.name, (("cpu_mode", "idle"),)): math.inf,
            (hosts.UPTIME.name, ()): 0,
            (hosts.NETWORK_UP.name, (("network_interface_name", "eth0"),)): 0,
        }


@given(values=st.lists(st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=5))
def test_every_number_arrives_as_it_was_sent(values: list[float]) -> None:
    samples = [hosts.TEMPERATURE(value, hw_id=str(place)) for place, value in enumerate(values)]
    got = read(report_of("node-1", samples, NOW), NOW).values
    assert [repr(value) for value in got] == [repr(float(value)) for value in values]


def test_hosts_of_one_kind_share_what_is_remembered_of_their_series() -> None:
    one, two = (read(report_of(name, [hosts.LOAD_1M(1)], NOW), NOW) for name in ("node-1", "another-node"))
    assert one.forms[0] is two.forms[0]


def test_nobody_speaks_for_another_host() -> None:
    request = message([hosts.LOAD_1M(1), hosts.LOAD_5M(2), hosts.LOAD_15M(3)])
    metrics = request.resource_metrics[0].scope_metrics[0].metrics
    metrics[0].gauge.data_points[0].attributes[0].value.string_value = "node-2"
    del metrics[1].gauge.data_points[0].attributes[0]
    [report] = translate_metrics(request, NOW).records
    assert (report.strangers, len(report.forms)) == (2, 1)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "resource", [{"service.name": "fleetwatch-sidecar"}, {"service.name": "api", "host.name": "node-1"}]
)
def test_other_senders_are_no_hosts(resource: dict[str, str]) -> None:
    request = message([hosts.LOAD_1M(1)])
    group = request.resource_metrics[0]
    del group.resource.attributes[:]
    for key, text in resource.items():
        group.resource.attributes.add(key=key).value.string_value = text
    assert translate_metrics(request, NOW).records == []


def test_a_clock_that_leads_is_told_and_bounded() -> None:
    [report], rejected, skew, _ = found(report_of("node-1", [hosts.LOAD_1M(1)], NOW + 3600 * SECOND))
    assert (report.at, rejected, skew) == (NOW, {}, 3600 * SECOND)


@pytest.mark.parametrize("at", [0, 1_800_000_000])
def test_a_time_that_is_none_is_refused(at: int) -> None:
    records, rejected, *_ = found(report_of("node-1", [hosts.LOAD_1M(1)], at))
    assert (records, rejected) == ([], {"bad_time": 1})


def test_a_histogram_and_a_sum_of_differences_are_no_values() -> None:
    request = message([hosts.LOAD_1M(1), hosts.PAGING_OPERATIONS(5, system_paging_direction="in")])
    metrics = request.resource_metrics[0].scope_metrics[0].metrics
    for metric in metrics:
        if metric.WhichOneof("data") == "sum":
            metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    metrics.add(name="x").histogram.data_points.add()
    [report], rejected, *_ = translate_metrics(request, NOW)
    assert (len(report.forms), rejected) == (1, {"bad_point": 2})  # type: ignore[union-attr]


def test_hostile_texts_come_out_harmless_and_short() -> None:
    odd = gauge("system.odd\n", unit="", help="x.", labels=(hosts.HOST, hosts.DEVICE))
    report = read(report_of("no\x00de", [odd(1, system_device="a\u202eb\n" + "x" * 5000)], NOW), NOW)
    [((name, labels), _)] = named(report).items()
    assert (report.host, name) == ("no\ufffdde", "system.odd")
    assert labels[0][1].startswith("a\ufffdb\ufffdx")
    assert len(labels[0][1]) == 200


def test_hostile_variety_does_not_grow_the_memory_of_series(monkeypatch: pytest.MonkeyPatch) -> None:
    forms: dict[tuple[str, bytes], object] = {}
    monkeypatch.setattr(host_report, "_forms", forms)
    monkeypatch.setattr(host_report, "_MOST_FORMS", 10)
    read(report_of("node-1", [hosts.TEMPERATURE(1, hw_id=str(number)) for number in range(64)], NOW), NOW)
    assert len(forms) <= 10
    odd = gauge("system.odd", unit="", help="x.", labels=(hosts.HOST, hosts.DEVICE))
    read(report_of("node-1", [odd(1, system_device="x" * 9000)], NOW), NOW)
    assert max(len(rest) for _, rest in forms) < 9000


def test_what_our_collector_adds_is_no_label() -> None:
    request = message([hosts.LOAD_1M(1)])
    point = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0]
    point.attributes.add(key="fleetwatch.stream").value.string_value = "ab" * 32
    [report] = translate_metrics(request, NOW).records
    assert isinstance(report, HostReport)
    assert named(report) == {(hosts.LOAD_1M.name, ()): 1}


def test_a_point_without_a_value_is_none() -> None:
    request = message([hosts.LOAD_1M(1), hosts.LOAD_5M(1)])
    request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].flags = 1
    for _ in range(2):
        [report] = translate_metrics(request, NOW).records
        assert len(report.forms) == 1  # type: ignore[union-attr]
