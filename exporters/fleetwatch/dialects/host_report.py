"""Reports of hosts: a sidecar's own metrics as OTLP.

Known by `service.name` = fleetwatch-sidecar with a `host.name`. Attributes of data points are labels by their
Prometheus names; `host_name` must repeat the resource's: nobody speaks for another host. Which metrics there are is not
known here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric, NumberDataPoint, ScopeMetrics

from fleetwatch.dialects.parts.dialect import EARLIEST, Batch, Dialect
from fleetwatch.dialects.parts.metric_points import NO_VALUE
from fleetwatch.dialects.parts.resource import Resource
from fleetwatch.dialects.parts.text import clean
from fleetwatch.records.hosts import Form, HostReport

SERVICE: Final = "fleetwatch-sidecar"
HOST: Final = "host_name"
_ADDED: Final = "fleetwatch."
"""Attributes that our Collector adds to tell streams apart begin so; a label cannot, for its dot."""
_MOST_FORMS: Final = 20_000
"""Series remembered. Hosts of one kind have the same ones: a fleet has a few thousand."""
_LARGEST_FORM: Final = 2_000
"""Bytes of a series worth remembering; real ones have about 100."""

_forms: dict[tuple[str, bytes], Form] = {}

_HEAD = struct.Struct("<BQBd")
"""How a point begins on the wire: tag and time, tag and value."""
_WHOLE = struct.Struct("<q")
_TIME, _DOUBLE, _INT = 0x19, 0x21, 0x31
"""Tags of time_unix_nano, as_double and as_int; each of these fields has 8 bytes."""
_NUMBERS = (_DOUBLE, _INT)


def read_report(resource: Resource, scope: ScopeMetrics, batch: Batch) -> bool:
    """The points of one scope as a report into the batch; nobody else reads a sidecar."""
    if resource.name != SERVICE or not resource.host:
        return False
    report = _Reader(resource.host, batch)
    for metric in scope.metrics:
        data = _data(metric)
        if data is None:
            batch.reject("bad_point")
        else:
            report.read(metric.name, data.data_points)
    if report.forms or report.strangers:
        # A clock that leads would put the report after all that come when it is set right.
        at = min(report.newest or batch.now, batch.now)
        batch.records.append(HostReport(resource.host, at, report.forms, report.values, report.strangers))
    batch.newest = max(batch.newest, report.newest)
    return True


class _Reader:
    """Gathers the points of one host.

    Some hundred come of each host every few seconds, and looking at the attributes of one takes longer than all else.
    So a point is written back to its bytes, which is one call: what follows time, value and the host's name there is
    looked up as it stands. A point of another shape is read attribute by attribute.
    """

    def __init__(self, host: str, batch: Batch) -> None:
        self.host, self.batch = host, batch
        self.forms: list[Form] = []
        self.values: list[float] = []
        self.strangers = 0
        self.newest = 0
        name = NumberDataPoint()
        name.attributes.add(key=HOST).value.string_value = host
        self._host = name.SerializeToString()

    def read(self, name: str, points: Iterable[NumberDataPoint]) -> None:
        """The points of one metric."""
        ours, start = self._host, _HEAD.size
        rest = start + len(ours)
        forms, values, unpack = self.forms, self.values, _HEAD.unpack_from
        for point in points:
            raw = point.SerializeToString()
            if raw.startswith(ours, start):
                time_tag, at, value_tag, value = unpack(raw)
                if time_tag == _TIME and value_tag in _NUMBERS and at >= EARLIEST:
                    form = _forms.get((name, raw[rest:]))
                    if form is not None:
                        if value_tag == _INT:
                            value = float(_WHOLE.unpack_from(raw, start - 8)[0])
                        if at > self.newest:  # noqa: PLR1730 - max() takes five times as long
                            self.newest = at
                        forms.append(form)
                        values.append(value)
                        continue
            self._read_slowly(name, point, raw[rest:] if raw.startswith(ours, start) else None)

    def _read_slowly(self, name: str, point: NumberDataPoint, rest: bytes | None) -> None:
        """A point that is new or unusual. rest: what it may be looked up by the next time."""
        spoken = ""
        labels: list[tuple[str, str]] = []
        for item in point.attributes:
            if item.key == HOST:
                spoken = item.value.string_value
            elif not item.key.startswith(_ADDED):
                labels.append((clean(item.key), clean(item.value.string_value)))
        at = point.time_unix_nano
        if clean(spoken) != self.host:
            self.strangers += 1
        elif at < EARLIEST:
            self.batch.reject("bad_time")
        elif not point.flags & NO_VALUE:
            self.newest = max(self.newest, at)
            form = Form(clean(name), tuple(labels))
            self.forms.append(form)
            is_whole = point.WhichOneof("value") == "as_int"
            self.values.append(float(point.as_int) if is_whole else point.as_double)
            if rest is not None and len(rest) + len(name) <= _LARGEST_FORM and not point.flags:
                if len(_forms) >= _MOST_FORMS:
                    _forms.clear()
                _forms[name, rest] = form


def _data(metric: Metric) -> Any:
    """The metric's gauge or cumulative sum; None for anything else."""
    kind = metric.WhichOneof("data")
    if kind == "gauge":
        return metric.gauge
    cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    if kind == "sum" and metric.sum.aggregation_temporality == cumulative:
        return metric.sum
    return None


DIALECT = Dialect("host_report", 50, metrics=read_report)
