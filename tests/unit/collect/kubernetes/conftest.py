"""A server that speaks as the API does, and sources that are ended with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect import Denied, Here, Incomplete
from fleetwatch.collect.here import AiServices, ClusterAccess, KubernetesAccess
from fleetwatch.collect.kubernetes._watch import Pace
from fleetwatch.collect.kubernetes.kubernetes import Kubernetes
from support_kube_api import KubeApi, kube_api

QUICK = Pace(page=3, list_patience=5, watch=60, silence=30, first_wait=0.02, longest_wait=0.05)


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with kube_api() as server:
        yield server


class Watcher:
    """The source, its clock, what it writes down, and what it last said was wrong."""

    def __init__(self, settings: KubernetesAccess, pace: Pace, limits: Mapping[str, int]) -> None:
        self.now = 0.0
        self.records: list[Any] = []
        self.broken = ""
        self.denied: list[Denied] = []
        self.trouble = ""
        self.here = Here(
            kubernetes=settings, commit=self._commit, clock=self._clock, ai_services=AiServices(limits=limits)
        )
        self.source = Kubernetes(self.here, pace)

    def _clock(self) -> float:
        return 1_800_000_000.0 + self.now

    def _commit(self, records: Sequence[Any]) -> None:
        if self.broken:
            raise OSError(self.broken)
        self.records += records

    def cycle(self) -> list[Sample]:
        samples: list[Sample] = []
        self.denied, self.trouble = [], ""
        try:
            for sample in self.source():
                samples.append(sample)  # noqa: PERF402 - what came before a failure counts
        except Incomplete as error:
            self.denied, self.trouble = error.denied, str(error)
        return samples


@pytest.fixture
def watch(api: KubeApi, tmp_path: Path) -> Iterator[Callable[..., Watcher]]:
    """To begin to watch the server: with a pace, a user as in a kubeconfig, limits of labels, the settings' fields."""
    made: list[Watcher] = []

    def begin(
        pace: Pace = QUICK, user: dict[str, Any] | None = None, limits: Mapping[str, int] | None = None, **settings: Any
    ) -> Watcher:
        file = api.kubeconfig(tmp_path / f"kubeconfig-{len(made)}", **(user or {}))
        usual: dict[str, Any] = {
            "clusters": (ClusterAccess("prod", "acme", file),),
            "pool_labels": ("karpenter.sh/nodepool",),
            "namespaces": frozenset({"default"}),
        }
        made.append(Watcher(KubernetesAccess(**{**usual, **settings}), pace, limits or {}))
        return made[-1]

    yield begin
    api.stop()
    for item in made:
        item.source.stop()
