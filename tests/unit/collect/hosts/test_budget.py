"""A host is worth no more series than its budget."""

from __future__ import annotations

import contextlib

from fleetwatch.catalogue import host_metrics
from fleetwatch.collect import Here, NoData, load, source_names
from support_machines import collected

BUDGET = 600
OF_ITSELF = 4
"""Series that the runner adds for each source."""


OF_THE_CLOUD = 2
"""Series of the source that asks the cloud, which is not asked here."""


def test_all_sources_together_stay_in_the_budget_of_a_host() -> None:
    """On this machine."""
    counts: dict[str, int] = {"imds": OF_THE_CLOUD + OF_ITSELF}
    for name in source_names("hosts"):
        if name not in counts:
            with contextlib.suppress(NoData):
                found, failed = collected(load(name, Here(name="here")).collect())
                assert failed == "", name
                assert {sample.metric for sample in found} <= set(host_metrics().values())
                counts[name] = len(found) + OF_ITSELF
    assert counts["host"] > 30
    assert sum(counts.values()) <= BUDGET, counts
