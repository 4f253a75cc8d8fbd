"""Pull in: one folder per domain, one file per source, each with one function or class marked by `@source`.

The runner owns time, time-outs, failures and self-metrics; a source owns none. A file is imported only if its source
is enabled, so nobody pays for libraries that they do not use.
"""

from __future__ import annotations

from fleetwatch.collect.here import Here, ProcessGroup
from fleetwatch.collect.runner import Denied, Incomplete, NoData, Pace, Runner, Source, load, source, source_names

__all__ = [
    "Denied",
    "Here",
    "Incomplete",
    "NoData",
    "Pace",
    "ProcessGroup",
    "Runner",
    "Source",
    "load",
    "source",
    "source_names",
]
