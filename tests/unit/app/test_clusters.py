"""Clusters by the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.app.cloud import kubernetes_of
from fleetwatch.app.here import domains_of
from fleetwatch.collect.here import ClusterAccess
from fleetwatch.settings import Settings, SettingsError
from fleetwatch.settings.model import Labels
from fleetwatch.settings.spot import Kubernetes, KubernetesCluster


def of(*names: str, **limits: int) -> Settings:
    clusters = [
        KubernetesCluster(name=name, client="acme", kubeconfig=Path("/etc/kube"), context="c") for name in names
    ]
    return Settings(kubernetes=Kubernetes(clusters=clusters), labels=Labels(limits=limits))


def test_no_cluster_is_watched_unless_one_is_named() -> None:
    assert kubernetes_of(Settings()) is None
    assert "kubernetes" not in domains_of(Settings())
    assert "kubernetes" in domains_of(of("prod"))


def test_clusters_are_the_settings() -> None:
    found = kubernetes_of(of("prod", "test", node=100))
    assert found is not None
    assert found.clusters[0] == ClusterAccess("prod", "acme", Path("/etc/kube"), "c")
    assert [item.name for item in found.clusters] == ["prod", "test"]
    assert found.most_nodes == 100
    assert found.namespaces == {"default", "kube-system"}
    assert found.pool_labels[0] == "karpenter.sh/nodepool"
    assert (found.drain_within, found.notice_lag, found.replacement_ready) == (120, 5, 30)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (of("a", "b", "a"), r'kubernetes\.clusters\[2\]\.name: expected another than that of \[0\], got "a"'),
        (of(""), r'kubernetes\.clusters\[0\]\.name: expected a name, got ""'),
        (of("a", "b", cluster=1), r"kubernetes\.clusters: expected at most 1 \(labels\.limits\.cluster\), got 2"),
    ],
)
def test_clusters_that_could_not_be_told_apart_are_refused(settings: Settings, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        kubernetes_of(settings)
