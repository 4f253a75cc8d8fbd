"""Readiness to leave a node, against what the real Eviction API then does; nodes and pods by kwok, rights by RBAC.

No controllers run here: what a budget allows is written by the tests, as its controller would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from fleetwatch.catalogue import kubernetes
from fleetwatch.records.spot import DrainStep
from support import wait_for
from support_clusters import Thing, budget, event, node, pod
from support_kubernetes import Api, cluster, kubelets
from support_watched import House, changed, created, may_watch, rights, space_for

pytestmark = pytest.mark.stack


class Case(NamedTuple):
    """One node. reasons: what holds its pods; answers: of the Eviction API, pod by pod.

    unready: its pods are not ready; ending: they were told to end, and no kubelet does it; waiting: none starts them.
    """

    reasons: set[str]
    answers: list[int]
    budgets: Sequence[Thing] = ()
    pod: Thing | None = None
    pods: int = 1
    unready: bool = False
    ending: bool = False
    waiting: bool = False
    elsewhere: bool = False
    """The budgets are in another namespace."""


def expressed(key: str, operator: str, *values: str) -> Thing:
    requirement: Thing = {"key": key, "operator": operator} | ({"values": list(values)} if values else {})
    return {"matchExpressions": [requirement]}


THERE = 201
TOO_MANY = 429

# What the API decides: it must do what readiness said.
CASES = {
    "free": Case(set(), [THERE]),
    "allowed": Case(set(), [THERE], [budget("a", allowed=1)]),
    "one-by-one": Case(set(), [THERE, TOO_MANY], [budget("a", allowed=1)], pods=2),
    "several": Case({"several_pdbs"}, [500], [budget("a", allowed=1), budget("b", allowed=1)]),
    "exhausted": Case({"pdb_exhausted"}, [TOO_MANY], [budget("a")]),
    "stale": Case({"pdb_stale"}, [TOO_MANY], [budget("a", allowed=1, behind=True)]),
    "unconfirmed": Case({"pdb_unconfirmed"}, [403], [budget("a", allowed=1, unconfirmed=2001)]),
    "barely-confirmed": Case(set(), [THERE], [budget("a", allowed=1, unconfirmed=2000)]),
    "unhealthy": Case({"unhealthy"}, [TOO_MANY], [budget("a", healthy=1)], unready=True),
    "unhealthy-with-budget": Case(set(), [THERE], [budget("a", healthy=2)], unready=True),
    "unhealthy-if": Case({"unhealthy"}, [TOO_MANY], [budget("a", healthy=1, policy="IfHealthyBudget")], unready=True),
    "unhealthy-none-wanted": Case({"unhealthy"}, [TOO_MANY], [budget("a", healthy=0, desired=0)], unready=True),
    "unhealthy-always": Case(set(), [THERE], [budget("a", healthy=0, policy="AlwaysAllow")], unready=True),
    "unhealthy-always-stale": Case(
        set(), [THERE], [budget("a", healthy=0, policy="AlwaysAllow", behind=True)], unready=True
    ),
    "healthy-always": Case({"pdb_exhausted"}, [TOO_MANY], [budget("a", policy="AlwaysAllow")]),
    "unhealthy-several": Case(
        {"several_pdbs"},
        [500],
        [budget("a", policy="AlwaysAllow"), budget("b", policy="AlwaysAllow")],
        unready=True,
    ),
    "empty-selector": Case({"pdb_exhausted"}, [TOO_MANY], [budget("a", selector={})]),
    "empty-selector-no-labels": Case(
        {"pdb_exhausted"}, [TOO_MANY], [budget("a", selector={})], pod("p", "", labels={})
    ),
    "no-selector": Case(set(), [THERE], [budget("a", selector={"none": True})]),
    "other-labels": Case(set(), [THERE], [budget("a", selector={"matchLabels": {"app": "other"}})]),
    "in": Case({"pdb_exhausted"}, [TOO_MANY], [budget("a", selector=expressed("app", "In", "x", "search"))]),
    "not-in": Case({"pdb_exhausted"}, [TOO_MANY], [budget("a", selector=expressed("tier", "NotIn", "x"))]),
    "not-in-but-is": Case(set(), [THERE], [budget("a", selector=expressed("app", "NotIn", "search"))]),
    "exists": Case({"pdb_exhausted"}, [TOO_MANY], [budget("a", selector=expressed("app", "Exists"))]),
    "does-not-exist": Case({"pdb_exhausted"}, [TOO_MANY], [budget("a", selector=expressed("tier", "DoesNotExist"))]),
    "does-not-exist-but-does": Case(set(), [THERE], [budget("a", selector=expressed("app", "DoesNotExist"))]),
    "both-conditions": Case(
        set(),
        [THERE],
        [budget("a", selector={"matchLabels": {"app": "search"}, **expressed("tier", "Exists")})],
    ),
    "other-namespace": Case(set(), [THERE], [budget("a", selector={})], elsewhere=True),
    "waiting": Case(set(), [THERE], [budget("a")], waiting=True),
    "ending": Case(set(), [THERE], [budget("a")], ending=True),
}

# What we hold against a node, and the API does not.
OURS = {
    "do-not-disrupt": Case(
        {"do_not_disrupt"}, [THERE], pod=pod("p", "", annotations={"karpenter.sh/do-not-disrupt": "true"})
    ),
    "not-safe": Case(
        {"do_not_disrupt"},
        [THERE],
        pod=pod("p", "", annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}),
    ),
    "long-grace": Case({"grace_period"}, [THERE], pod=pod("p", "", grace=600)),
    "no-controller": Case({"no_controller"}, [THERE], pod=pod("p", "", owner="")),
}

# What stays until the node is gone, whatever the API would do.
STAYING = {
    "daemon": Case(set(), [TOO_MANY], [budget("a")], pod("p", "", owner="DaemonSet")),
    "mirror": Case(set(), [TOO_MANY], [budget("a")], pod("p", "", annotations={"kubernetes.io/config.mirror": "x"})),
}

ALL = {**CASES, **OURS, **STAYING}


def name_of(place: int) -> str:
    return f"p{place}"


def made(api: Api, name: str, case: Case) -> None:
    space_for(api, name)
    machine = node(name)
    if case.waiting or case.ending:
        machine["metadata"]["annotations"] = {}
    created(api, "/api/v1/nodes", machine)
    for place in range(case.pods):
        thing = case.pod or pod("p", "")
        meta = {**thing["metadata"], "name": name_of(place), "namespace": name}
        body = {**thing, "metadata": meta, "spec": {**thing["spec"], "nodeName": name}}
        created(api, f"/api/v1/namespaces/{name}/pods", body)
    space = "elsewhere" if case.elsewhere else name
    for item in case.budgets:
        path = f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets"
        created(api, path, {**item, "metadata": {**item["metadata"], "namespace": space}})
        changed(api, f"{path}/{item['metadata']['name']}/status", {"status": item["status"]})


def settled(api: Api, name: str, case: Case) -> None:
    """As the case wants its pods, once their kubelet has started them."""
    path = f"/api/v1/namespaces/{name}/pods"
    if case.ending:
        running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        changed(api, f"{path}/{name_of(0)}/status", {"status": running})
        assert api.ask("DELETE", f"{path}/{name_of(0)}").status == 200
    if case.waiting or case.ending:
        return
    wait_for(
        lambda: all(item["status"]["phase"] == "Running" for item in api.ask("GET", path).body["items"]),
        30,
        f"kwok to start the pods of {name}",
    )
    for place in range(case.pods):
        if case.unready:
            unready = [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
            changed(api, f"{path}/{name_of(place)}/status", {"status": {"conditions": unready}})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("cluster")
    with cluster(folder) as api, kubelets(folder, api):
        space_for(api, "fleetwatch")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "fleetwatch-exporter"}}
        created(api, "/api/v1/namespaces/fleetwatch/serviceaccounts", account)
        for thing in rights():
            assert api.apply(thing).status == 201
        space_for(api, "elsewhere")
        space_for(api, "drained")
        for name, case in ALL.items():
            made(api, name, case)
        for name, case in ALL.items():
            settled(api, name, case)
        found = House(api, folder)
        yield found
        found.stop()


@pytest.fixture(scope="module")
def said(house: House) -> dict[str, tuple[bool, set[str]]]:
    """Node -> what readiness says, before any eviction: ready, and what holds it."""
    samples = house.cycle()
    assert house.trouble == ""
    ready = {item.labels[1]: bool(item.value) for item in samples if item.metric is kubernetes.DRAIN_READY}
    held: dict[str, set[str]] = {name: set() for name in ready}
    for item in samples:
        if item.metric is kubernetes.DRAIN_BLOCKED:
            held[item.labels[1]].add(item.labels[2])
    return {name: (ready[name], held[name]) for name in ready}


@pytest.mark.parametrize("name", list(ALL))
def test_readiness_says_what_the_eviction_api_then_does(
    name: str, said: dict[str, tuple[bool, set[str]]], house: House
) -> None:
    case = ALL[name]
    assert said[name] == (not case.reasons, case.reasons)
    answers = []
    for place in range(case.pods):
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name_of(place)}}
        path = f"/api/v1/namespaces/{name}/pods/{name_of(place)}/eviction"
        answers.append(house.api.ask("POST", path, body=eviction).status)
    assert answers == case.answers


def test_every_reason_was_tried() -> None:
    tried = set().union(*(case.reasons for case in ALL.values()))
    assert tried == set(kubernetes.BLOCKED.one_of)
    of_the_api = {reason for case in CASES.values() for reason in case.reasons}
    assert of_the_api == {"several_pdbs", "pdb_exhausted", "pdb_stale", "pdb_unconfirmed", "unhealthy"}


def test_a_node_s_end_is_told_step_by_step(house: House) -> None:
    """Cordon, eviction, the last pod gone, the node gone; the counter counts the eviction once."""
    api = house.api
    created(api, "/api/v1/nodes", node("leaving", instance="i-0123456789abcdef0"))
    created(api, "/api/v1/namespaces/drained/pods", pod("p", "leaving", space="drained"))
    path = "/api/v1/namespaces/drained/pods/p"
    wait_for(lambda: api.ask("GET", path).body["status"]["phase"] == "Running", 30, "kwok to start the pod")
    changed(api, "/api/v1/nodes/leaving", {"spec": {"unschedulable": True}})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert api.ask("POST", f"{path}/eviction", body=eviction).status == 201
    wait_for(lambda: api.ask("GET", path).status == 404, 30, "kwok to end the pod")

    def told() -> list[DrainStep]:
        house.cycle()
        return [step for step in house.steps if step.host == "leaving"]

    wait_for(lambda: len(told()) == 3, 10, "the steps of the drain")
    assert _evictions(house) >= 1
    assert api.ask("DELETE", "/api/v1/nodes/leaving").status == 200
    wait_for(lambda: len(told()) == 4, 10, "the node's end")
    steps = told()
    assert [step.step for step in steps] == ["cordoned", "first_eviction", "drained", "gone"]
    assert {(step.cluster, step.nodepool, step.instance) for step in steps} == {
        ("prod", "agents", "i-0123456789abcdef0")
    }
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert not [item for item in house.cycle() if "leaving" in item.labels]  # gone with the next cycle


def _evictions(house: House) -> float:
    """Once it has been shown as 0 for a while."""
    for _ in range(5):
        samples = house.cycle()
    return sum(item.value for item in samples if item.metric is kubernetes.EVICTIONS)


def test_events_are_counted_as_often_as_they_happened(house: House) -> None:
    """One that is new, and one that happens again."""
    api = house.api

    def counted() -> float:
        samples = house.cycle()
        return sum(
            item.value for item in samples if item.metric is kubernetes.EVENTS and "FailedScheduling" in item.labels
        )

    path = "/api/v1/namespaces/drained/events"
    created(api, path, event("first", "FailedScheduling", space="drained"))
    wait_for(lambda: counted() == 1, 20, "the event")
    changed(api, f"{path}/first", {"count": 4})
    wait_for(lambda: counted() == 4, 20, "its repetitions")


RULES = [
    (group, resource, verb)
    for thing in rights()
    for rule in thing.get("rules", [])
    for group in rule["apiGroups"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
]

# What is still shown without a resource, and what is not.
WITHOUT = {
    "nodes": ({kubernetes.PODS, kubernetes.PDBS}, {kubernetes.NODE_INFO, kubernetes.DRAIN_READY}),
    "pods": ({kubernetes.NODE_INFO, kubernetes.PDBS}, {kubernetes.PODS, kubernetes.DRAIN_READY}),
    "poddisruptionbudgets": ({kubernetes.NODE_INFO, kubernetes.PODS}, {kubernetes.PDBS, kubernetes.DRAIN_READY}),
    "events": ({kubernetes.NODE_INFO, kubernetes.DRAIN_READY}, set()),
}


@pytest.mark.parametrize(("group", "resource", "verb"), RULES)
def test_without_a_right_its_part_fails_by_name(house: House, group: str, resource: str, verb: str) -> None:
    """A right that could be removed unnoticed would not have to be given."""
    api = house.api
    role = next(thing for thing in rights() if thing["kind"] == "ClusterRole")
    rules = [
        {"apiGroups": [other], "resources": [name], "verbs": [word]}
        for other, name, word in RULES
        if (other, name, word) != (group, resource, verb)
    ]
    permission = f"{verb} {resource}.{group}" if group else f"{verb} {resource}"
    path = {"": "/api/v1", "policy": "/apis/policy/v1"}[group] + f"/{resource}"
    token = api.token("fleetwatch", "fleetwatch-exporter")
    query = "?watch=1&timeoutSeconds=1" if verb == "watch" else ""

    def may() -> bool:
        return api.ask("GET", f"{path}?limit=1", token).status == 200 if not query else may_watch(api, path, token)

    assert api.apply({**role, "rules": rules}).status == 200
    try:
        wait_for(lambda: not may(), 20, "the right to be gone")
        source = house.watch("less")

        def shown() -> set[Any]:
            samples = house.cycle(source)
            return {item.metric for item in samples} if house.denied else set()

        metrics = wait_for(shown, 20, "the failure")
        assert [item.permission for item in house.denied] == [permission]
        missing = house.denied[0]
        assert f'cannot {verb} resource "{resource}"' in missing.why
        assert f"Allow `{verb}` of {resource}" in missing.fix
        there, absent = WITHOUT[resource]
        assert there <= metrics
        if verb == "list":
            assert not absent & metrics
        else:  # it is listed from time to time
            assert absent <= metrics
        source.stop()
    finally:
        assert api.apply(role).status == 200
        wait_for(may, 20, "the right to be back")


def test_the_shipped_rights_are_for_nothing_else(house: House) -> None:
    token = house.api.token("fleetwatch", "fleetwatch-exporter")
    refused = [
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/namespaces/default/configmaps"),
        ("GET", "/apis/apps/v1/replicasets"),
        ("GET", "/api/v1/nodes/free"),
        ("DELETE", "/api/v1/nodes/free"),
        ("DELETE", "/api/v1/namespaces/free/pods/p0"),
        ("POST", "/api/v1/namespaces/free/pods/p0/eviction"),
        ("POST", "/api/v1/namespaces/free/pods/p0/exec"),
        ("POST", "/api/v1/namespaces/default/events"),
    ]
    answers = {f"{method} {path}": house.api.ask(method, path, token, {}).status for method, path in refused}
    assert answers == dict.fromkeys(answers, 403)
