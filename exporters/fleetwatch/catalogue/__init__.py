"""The names. One module per domain holds frozen Metric and Label records and nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from fleetwatch.catalogue.metric import Metric, metrics_of


def domains() -> list[str]:
    """Names of the catalogue's modules, sorted."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__) if info.name != "metric")


def host_metrics() -> dict[str, Metric]:
    """Metrics that a host reports of itself, by their OpenTelemetry names."""
    return {metric.name: metric for _, metric in all_metrics() if metric.implied is not None}


def all_metrics() -> Iterator[tuple[str, Metric]]:
    """(domain, metric) of the whole catalogue."""
    for domain in domains():
        for metric in metrics_of(importlib.import_module(f"{__name__}.{domain}")):
            yield domain, metric
