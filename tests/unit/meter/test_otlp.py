"""Our OTLP request means to the official messages what the SDK's own encoder would have made of the same meter."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from fleetwatch.catalogue import all_metrics
from fleetwatch.catalogue.metric import NANO, Metric, Sample, counter, gauge, histogram, label
from fleetwatch.meter import Meter
from fleetwatch.meter.otlp import export_request
from support_otlp_sdk import sdk_request

NAME = label("name", "A name.", at_most=100_000)
OTHER_NAME = label("other_name", "Another.", at_most=100_000)
COUNT = counter("test.count", unit="{thing}", help="Things – counted.", labels=(NAME,))
MONEY = counter("test.money", unit="{USD}", help="Money.", labels=(NAME, OTHER_NAME), scale=NANO)
READ = counter("test.read", unit="By", help="Kept elsewhere.", labels=(NAME,))
LEVEL = gauge("test.level", unit="1", help="x" * 200, labels=(NAME,))
BARE = gauge("test.bare", unit="", help="", labels=())
# Counts of more than 15 buckets are longer than one byte of length can say.
BUCKETS = tuple(float(bound) for bound in range(1, 25))
LONG = histogram("test.long", unit="s", help="Long.", buckets=BUCKETS, labels=(NAME,))
SHORT = histogram("test.short", unit="s", help="Short.", buckets=(0.5,))

NOW = 1_800_000_000 * NANO + 7
COUNTS = st.tuples(st.sampled_from([COUNT, MONEY]), st.text(), st.integers(0, 10**20))
REPORTS = st.tuples(
    st.sampled_from([READ, LEVEL]), st.text(), st.floats(allow_nan=False) | st.integers(-(1 << 63), (1 << 63) - 1)
)
TIMES = st.tuples(st.sampled_from([LONG, SHORT]), st.text(), st.integers(0, 30 * NANO))


def parsed(body: bytes) -> ExportMetricsServiceRequest:
    return ExportMetricsServiceRequest.FromString(body)


def labels_of(metric: Metric, name: str) -> tuple[str, ...]:
    return (name, name[::-1])[: len(metric.labels)]


@given(
    counts=st.lists(COUNTS, max_size=8),
    reports=st.lists(REPORTS, max_size=8),
    times=st.lists(TIMES, max_size=8),
    resource=st.dictionaries(st.sampled_from(["service.name", "host.name"]), st.text(st.characters(codec="utf-8"))),
    born=st.sampled_from([0.0, 0.25, 1_700_000_000.123_456]),
)
def test_the_request_is_that_of_the_sdk(
    counts: list[tuple[Metric, str, int]],
    reports: list[tuple[Metric, str, float]],
    times: list[tuple[Metric, str, int]],
    resource: dict[str, str],
    born: float,
) -> None:
    meter = Meter(clock=lambda: born)
    for metric, name, amount in counts:
        # The SDK fails for counts that an int64 does not hold.
        meter.add(metric, labels_of(metric, name), amount % 10**17 if metric is COUNT else amount)
    for metric, name, nanoseconds in times:
        meter.observe(metric, labels_of(metric, name), nanoseconds)
    meter.replace("s", [Sample(metric, labels_of(metric, name), value) for metric, name, value in reports])
    meter.replace("bare", [BARE(1)])
    for now in (NOW, NOW + NANO):  # the second time with what was kept of the first
        ours = parsed(export_request(meter, resource, now, "1.2"))
        assert ours == sdk_request(meter, resource, now, "1.2")
        meter.add(COUNT, ("again",), 1)


def test_the_whole_catalogue_goes_out_as_the_sdk_would_send_it() -> None:
    meter = Meter(hold=10)
    for _, metric in all_metrics():
        labels = tuple(label.one_of[-1] if label.one_of else "x" for label in metric.labels)
        if metric.kind == "histogram":
            meter.observe(metric, labels, NANO)
        elif metric.kind == "counter":
            meter.add(metric, labels, 1)
        else:
            meter.replace(metric.name, [Sample(metric, labels, float("inf"))])
    ours = parsed(export_request(meter, {"service.name": "s"}, NOW, "1"))
    assert ours == sdk_request(meter, {"service.name": "s"}, NOW, "1")
    assert len(ours.resource_metrics[0].scope_metrics[0].metrics) == len(list(all_metrics()))


def test_a_count_past_64_bits_goes_out_as_the_nearest_float() -> None:
    meter = Meter()
    meter.add(COUNT, ("a",), 10**20)
    meter.replace("s", [LEVEL(10**20, name="a")])
    metrics = parsed(export_request(meter, {}, NOW, "1")).resource_metrics[0].scope_metrics[0].metrics
    assert [metric.WhichOneof("data") for metric in metrics] == ["sum", "gauge"]
    assert metrics[0].sum.data_points[0].as_double == metrics[1].gauge.data_points[0].as_double == 1e20


def test_what_was_kept_of_a_gauge_goes_when_the_gauge_goes() -> None:
    meter = Meter()
    for name in ("a", "b"):
        meter.replace("s", [LEVEL(1.5, name=name)])
        [metric] = parsed(export_request(meter, {}, NOW, "1")).resource_metrics[0].scope_metrics[0].metrics
        assert [point.attributes[0].value.string_value for point in metric.gauge.data_points] == [name]


def test_neither_way_out_loads_a_library() -> None:
    code = (
        "import sys, fleetwatch.meter.otlp, fleetwatch.meter.text, fleetwatch.send.client, fleetwatch.send.pusher\n"
        "heavy = {'google', 'opentelemetry', 'prometheus_client', 'requests', 'pydantic', 'starlette'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found == "[]\n"
