"""The Collector's allow-list lets through what a sidecar says, and from nobody else."""

from __future__ import annotations

from typing import Any

import yaml

from fleetwatch.catalogue import host_metrics
from fleetwatch.catalogue.hosts import HOST
from fleetwatch.dialects.host_report import HOST as HOST_ATTRIBUTE
from fleetwatch.dialects.host_report import SERVICE
from support_collector import GATEWAY

CONFIG: dict[str, Any] = yaml.safe_load(GATEWAY.read_text(encoding="utf-8"))
LABELS = {label.name for metric in host_metrics().values() for label in metric.labels}


def missing(allowed: list[str]) -> set[str]:
    """Labels of host metrics that would be dropped."""
    return LABELS - set(allowed)


def test_every_label_of_a_host_passes() -> None:
    assert missing(CONFIG["processors"]["redaction"]["allowed_keys"]) == set()


def test_no_label_is_let_through_that_no_host_has() -> None:
    plain = {key for key in CONFIG["processors"]["redaction"]["allowed_keys"] if "." not in key}
    assert plain - LABELS == {"team"}


def test_labels_of_others_are_dropped_before_the_list_is_asked() -> None:
    for name, pipeline in CONFIG["service"]["pipelines"].items():
        order = pipeline["processors"]
        assert order.index("transform/labels") < order.index("redaction"), name


def test_collector_and_exporter_know_a_sidecar_by_the_same_name() -> None:
    assert f'!= "{SERVICE}"' in GATEWAY.read_text(encoding="utf-8")
    assert HOST.name == HOST_ATTRIBUTE


def test_the_wall_stands() -> None:
    """A label that is not allowed is found."""
    assert "cpu_mode" in missing(["host_name"])
