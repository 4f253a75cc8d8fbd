"""How long work waited for a resource: the kernel's pressure stall information, of the machine or of one group.

some avg10=0.00 avg60=0.12 avg300=0.08 total=5380021

Format: Documentation/accounting/psi.rst of the Linux kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.hosts._read import if_there, number

_STALL = re.compile(rb"^(some|full) .*\btotal=(\d+)$", re.MULTILINE)


def pressure(path: str, resource: str, metric: Metric) -> Iterator[Sample]:
    """The totals of a file, in microseconds there; nothing on kernels built or booted without it.

    metric: in seconds, with the labels pressure_resource and pressure_kind.
    """
    data = if_there(path)
    if data is None:
        return
    found = _STALL.findall(data)
    if not found:
        raise ValueError(f"{path}: expected a line with some and total=, got {data[:40]!r}")
    for kind, total in found:
        yield metric(number(total) / 1e6, pressure_resource=resource, pressure_kind=kind.decode("ascii"))
