"""What a watch does where the API forgets, falls silent, breaks off, refuses or is away."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetwatch.catalogue import kubernetes
from fleetwatch.catalogue.metric import Metric, Sample
from support import wait_for
from support_clusters import budget, event, node, pod
from support_kube_api import BREAK, END, PATHS, KubeApi
from unit.collect.kubernetes.conftest import QUICK, Watcher

Watch = Callable[..., Watcher]


def of(samples: list[Sample], metric: Metric) -> dict[tuple[str, ...], float]:
    return {item.labels: item.value for item in samples if item.metric is metric}


def nodes(watcher: Watcher) -> set[str]:
    return {labels[2] for labels in of(watcher.cycle(), kubernetes.NODE_INFO)}


def restarts(watcher: Watcher, resource: str) -> dict[str, float]:
    found = of(watcher.cycle(), kubernetes.WATCH_RESTARTS)
    return {labels[2]: value for labels, value in found.items() if labels[1] == resource and value}


def test_a_list_comes_page_by_page_and_then_only_what_changes(api: KubeApi, watch: Watch) -> None:
    for place in range(8):
        api.put(node(f"n{place}"))
    watcher = watch()
    assert nodes(watcher) == {f"n{place}" for place in range(8)}
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    assert [query for path, query in api.asked if path == PATHS["Node"] and "watch" not in query] == [
        {"limit": "3"},
        {"limit": "3", "continue": "3"},
        {"limit": "3", "continue": "6"},
    ]
    asked = next(query for path, query in api.asked if path == PATHS["Node"] and "watch" in query)
    assert asked.pop("timeoutSeconds").isdigit()
    assert asked == {"watch": "1", "resourceVersion": "108", "allowWatchBookmarks": "true"}
    api.put(node("new"))
    api.drop(node("n3"))
    wait_for(lambda: nodes(watcher) == {"n0", "n1", "n2", "n4", "n5", "n6", "n7", "new"}, what="the changes")
    assert api.count("Node", "list") == 3
    assert api.count("Node", "watch") == 1


def test_a_watch_that_ends_goes_on_where_its_bookmark_was(api: KubeApi, watch: Watch) -> None:
    api.put(node("a"))
    watcher = watch()
    assert nodes(watcher) == {"a"}
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    api.put(pod("somewhere", "a"))  # the version moves on
    api.bookmark("Node")
    api.say("Node", END)
    wait_for(lambda: api.count("Node", "watch") == 2, what="the next watch")
    assert api.asked[-1][1]["resourceVersion"] == "102"
    assert api.count("Node", "list") == 1
    assert restarts(watcher, "nodes") == {"ended": 1}
    assert watcher.trouble == ""


def test_where_the_api_forgot_all_is_listed_anew(api: KubeApi, watch: Watch) -> None:
    api.put(node("a"))
    api.put(node("b"))
    watcher = watch()
    assert nodes(watcher) == {"a", "b"}
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    api.drop(node("a"), tell=False)
    api.put(node("c"), tell=False)
    api.forget("Node")
    wait_for(lambda: nodes(watcher) == {"b", "c"}, what="the new list")
    assert restarts(watcher, "nodes") == {"expired": 1}


def test_a_watch_that_is_refused_as_too_old_lists_anew(api: KubeApi, watch: Watch) -> None:
    api.put(node("a"))
    api.refuse[PATHS["Node"], "watch"] = (410, "too old resource version: 1 (2)")
    watcher = watch()
    assert nodes(watcher) == {"a"}
    wait_for(lambda: api.count("Node", "list") >= 2, what="another list")
    api.refuse.clear()
    wait_for(lambda: api.watching("Node") == 1, what="the watch")


def test_a_list_whose_rest_was_forgotten_begins_again(api: KubeApi, watch: Watch) -> None:
    for place in range(5):
        api.put(node(f"n{place}"))
    api.expire_pages = 1
    watcher = watch()
    wait_for(lambda: len(nodes(watcher)) == 5, what="the whole list")


def test_a_silent_watch_is_renewed(api: KubeApi, watch: Watch) -> None:
    api.put(node("a"))
    api.mute = True
    watcher = watch(QUICK._replace(silence=0.3))
    assert nodes(watcher) == {"a"}
    wait_for(lambda: api.count("Node", "watch") >= 2, what="the next watch")
    assert api.count("Node", "list") == 1
    assert restarts(watcher, "nodes")["silent"] >= 1
    assert watcher.trouble == ""


def test_while_the_api_is_away_its_last_state_is_shown_with_its_age(api: KubeApi, watch: Watch) -> None:
    api.put(node("a"))
    watcher = watch()
    assert nodes(watcher) == {"a"}
    wait_for(lambda: all(api.watching(kind) for kind in PATHS), what="the watches")
    api.stop()
    watcher.now = 100
    wait_for(lambda: watcher.cycle() and "prod: watch nodes" in watcher.trouble, what="the failure")
    samples = watcher.cycle()
    assert {labels[2] for labels in of(samples, kubernetes.NODE_INFO)} == {"a"}
    assert of(samples, kubernetes.WATCH_AGE)["prod", "nodes"] == 100
    assert "what is shown was told 100 s ago" in watcher.trouble
    assert watcher.here.desk.clusters["prod"].at == 1_800_000_000 * 10**9
    watcher.now = 400  # too old to be believed
    samples = watcher.cycle()
    assert of(samples, kubernetes.NODE_INFO) == {}
    assert of(samples, kubernetes.WATCH_AGE)["prod", "nodes"] == 400
    assert "what was known 400 s ago is not shown any more" in watcher.trouble
    assert watcher.here.desk.clusters == {}
    api.put(node("b"))
    api.start()
    wait_for(lambda: nodes(watcher) >= {"a"} and not watcher.trouble, what="the API to be back")


def test_a_connection_that_breaks_off_is_taken_up(api: KubeApi, watch: Watch) -> None:
    api.put(node("a"))
    watcher = watch()
    assert nodes(watcher) == {"a"}
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    api.say("Node", b'{"type":"MODI')
    api.say("Node", BREAK)
    wait_for(lambda: api.count("Node", "watch") == 2 and api.watching("Node") == 1, what="the next watch")
    api.put(node("b"))
    wait_for(lambda: nodes(watcher) == {"a", "b"}, what="the new node")
    assert restarts(watcher, "nodes")["failed"] >= 1


def test_an_object_that_cannot_be_read_is_said_and_does_not_end_the_watch(api: KubeApi, watch: Watch) -> None:
    api.put(node("a"))
    watcher = watch()
    assert nodes(watcher) == {"a"}
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    wrong = node("b")
    wrong["status"] = {"allocatable": {"cpu": "many"}}
    api.put(wrong)
    wait_for(lambda: watcher.cycle() and 'expected a quantity like 250m or 1Gi, got "many"' in watcher.trouble)
    assert nodes(watcher) == {"a"}
    api.drop(wrong)
    wait_for(lambda: nodes(watcher) == {"a"} and not watcher.trouble, what="it to go on")


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_missing_right_is_named_and_asked_for_less_and_less(api: KubeApi, watch: Watch, verb: str) -> None:
    api.put(node("a"))
    api.put(pod("p", "a"))
    api.refuse[PATHS["Pod"], verb] = (403, 'pods is forbidden: User "x" cannot list resource "pods"')
    watcher = watch(QUICK._replace(first_wait=0.2, longest_wait=30))
    samples = wait_for(lambda: watcher.cycle() if watcher.cycle() and watcher.denied else [], what="the failure")
    (denied,) = watcher.denied
    assert denied.permission == f"{verb} pods"
    assert denied.why == 'cluster prod: pods is forbidden: User "x" cannot list resource "pods"'
    assert of(samples, kubernetes.NODE_INFO) != {}
    assert (of(samples, kubernetes.DRAIN_READY) != {}) == (verb == "watch")
    assert api.count("Pod", verb) <= 3


def test_an_api_that_ends_each_watch_at_once_is_not_asked_without_pause(api: KubeApi, watch: Watch) -> None:
    watcher = watch(QUICK._replace(first_wait=0.4, longest_wait=5))
    watcher.cycle()
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    began = time.monotonic()
    for seen in range(1, 4):
        api.say("Node", END)
        wait_for(lambda: api.count("Node", "watch") > seen and api.watching("Node") == 1)  # noqa: B023 - of this round
    assert time.monotonic() - began >= 3 * 0.2  # half of the pause, which has jitter


def test_a_token_that_was_replaced_in_its_file_is_read_again(api: KubeApi, watch: Watch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    api.tokens = {"first"}
    api.put(node("a"))
    watcher = watch(user={"tokenFile": str(token)})
    assert nodes(watcher) == {"a"}
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    api.tokens = {"second"}
    token.write_text("second")
    api.say("Node", END)
    wait_for(lambda: api.count("Node", "watch") == 2, what="the watch with the new token")
    api.put(node("b"))
    wait_for(lambda: nodes(watcher) == {"a", "b"} and not watcher.trouble, what="the new node")


def test_the_answer_of_a_program_is_an_identity(api: KubeApi, watch: Watch, tmp_path: Path) -> None:
    """As `aws eks get-token`; asked again where the API does not take its token any more."""
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps({**credential, "status": {"token": "old"}}))
    api.tokens = {"new"}
    api.put(node("a"))
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", f"print(open({str(answer)!r}).read())"],
        "interactiveMode": "Never",
    }
    watcher = watch(user={"exec": program})
    watcher.cycle()
    assert "Unauthorized" in watcher.trouble
    answer.write_text(json.dumps({**credential, "status": {"token": "new"}}))
    wait_for(lambda: nodes(watcher) == {"a"} and not watcher.trouble, what="the new token")


def test_a_kubeconfig_that_is_not_there_is_named(watch: Watch, tmp_path: Path) -> None:
    from fleetwatch.collect.here import ClusterAccess

    watcher = watch(clusters=(ClusterAccess("prod", kubeconfig=tmp_path / "none"),))
    watcher.cycle()
    said = f"prod: list nodes, pods, poddisruptionbudgets, events: no way to the API by {tmp_path / 'none'}: "
    assert watcher.trouble.count("no way to the API") == 1
    assert said in watcher.trouble
    assert "nothing is known of them" in watcher.trouble


def test_events_are_counted_once_over_lists_and_watches(api: KubeApi, watch: Watch) -> None:
    """What was there before is not counted; what happened while nobody watched is."""
    api.put(event("before", "BackOff", times=7))
    watcher = watch()

    def counted() -> float:
        found = of(watcher.cycle(), kubernetes.EVENTS)
        return found.get(("prod", "Pod", "BackOff", "Warning", "default"), 0)

    assert counted() == 0
    wait_for(lambda: api.watching("Event") == 1, what="the watch")
    api.put(event("before", "BackOff", times=9))
    api.put(event("new", "BackOff", times=3))
    wait_for(lambda: counted() == 5, what="two and three")
    api.put(event("new", "BackOff", times=4), tell=False)
    api.put(event("unseen", "BackOff"), tell=False)
    api.drop(event("before", "BackOff"), tell=False)
    api.forget("Event")
    wait_for(lambda: counted() == 7, what="what the list says more")
    wait_for(lambda: api.watching("Event") == 1, what="the watch")
    api.forget("Event")
    wait_for(lambda: restarts(watcher, "events") == {"expired": 2}, what="another list")
    assert counted() == 7


def test_a_budget_that_is_gone_holds_nothing(api: KubeApi, watch: Watch) -> None:
    api.put(node("a"))
    api.put(pod("p", "a"))
    held = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    api.put({**pod("p", "a"), **held})
    api.put(budget("b"))
    watcher = watch()
    assert of(watcher.cycle(), kubernetes.DRAIN_READY) == {("prod", "a"): 0}
    wait_for(lambda: api.watching("PodDisruptionBudget") == 1, what="the watch")
    api.drop(budget("b"))
    wait_for(lambda: of(watcher.cycle(), kubernetes.DRAIN_READY) == {("prod", "a"): 1}, what="nothing to hold it")
