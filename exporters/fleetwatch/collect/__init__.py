"""Pull in: one file per source, each with one function of the file's name, marked by `@source`.

The runner owns time, time-outs, failures and self-metrics; a source owns none. A file is imported only if its source
is enabled, so nobody pays for libraries that they do not use.
"""

from __future__ import annotations

from fleetwatch.collect.runner import NoData, Runner, Source, source, source_names

__all__ = ["NoData", "Runner", "Source", "source", "source_names"]
