"""A watched cluster in tests: the real API, and the source with the rights that are shipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect import Denied, Here, Incomplete
from fleetwatch.collect.here import ClusterAccess, KubernetesAccess
from fleetwatch.collect.kubernetes._watch import Pace
from fleetwatch.collect.kubernetes.kubernetes import Kubernetes
from fleetwatch.records.spot import DrainStep
from support_clusters import Thing
from support_deploy import KUBERNETES, objects
from support_kubernetes import Answer, Api, kubeconfig

QUICK = Pace(page=50, watch=20, first_wait=0.2, longest_wait=0.5)


class House:
    """The cluster, and the source that watches it with the rights that are shipped."""

    def __init__(self, api: Api, folder: Path) -> None:
        self.api = api
        self.folder = folder
        self.steps: list[DrainStep] = []
        self._sources: list[Kubernetes] = []
        self.source = self.watch("shipped")
        self.denied: list[Denied] = []
        self.trouble = ""

    def watch(self, name: str) -> Kubernetes:
        access = kubeconfig(self.folder / f"{name}.yaml", self.api, self.api.token("fleetwatch", "fleetwatch-exporter"))
        settings = KubernetesAccess((ClusterAccess("prod", "acme", access),), ("karpenter.sh/nodepool",))
        found = Kubernetes(Here(kubernetes=settings, commit=self._commit), QUICK)
        self._sources.append(found)
        return found

    def _commit(self, records: Sequence[Any]) -> None:
        self.steps += records

    def cycle(self, source: Kubernetes | None = None) -> list[Sample]:
        samples: list[Sample] = []
        self.denied, self.trouble = [], ""
        try:
            for sample in (source or self.source)():
                samples.append(sample)  # noqa: PERF402 - what came before a failure counts
        except Incomplete as error:
            self.denied, self.trouble = error.denied, str(error)
        return samples

    def stop(self) -> None:
        for item in self._sources:
            item.stop()


def created(api: Api, path: str, thing: Thing) -> Thing:
    answer = api.ask("POST", path, body=thing)
    assert answer.status == 201, answer.body
    return answer.body


def space_for(api: Api, name: str) -> None:
    created(api, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
    created(api, f"/api/v1/namespaces/{name}/serviceaccounts", account)


def changed(api: Api, path: str, thing: Thing) -> Answer:
    answer = api.ask("PATCH", path, body=thing, kind="merge-patch+json")
    assert answer.status == 200, answer.body
    return answer


def rights() -> list[Thing]:
    """The role that is shipped, and who has it."""
    shipped = objects(KUBERNETES / "clusters" / "role.yaml")
    return [thing for thing in shipped if thing["kind"] in {"ClusterRole", "ClusterRoleBinding"}]


def may_watch(api: Api, path: str, token: str) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "verb": "watch",
                "resource": path.rpartition("/")[2],
                "group": "policy" if "policy" in path else "",
            }
        },
    }
    answer = api.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", token, review)
    return bool(answer.body["status"]["allowed"])
