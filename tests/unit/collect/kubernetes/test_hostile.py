"""Answers that no sound API gives, and more than anybody expects: the rest is shown, and memory stays bounded."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetwatch.catalogue import kubernetes
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.here import ClusterAccess
from fleetwatch.collect.kubernetes import _api, _cluster, _events
from fleetwatch.collect.kubernetes._events import Fact, Tally
from fleetwatch.collect.kubernetes._objects import quantity
from fleetwatch.meter import Meter
from support import wait_for
from support_clusters import Thing, event, node, pod
from support_kube_api import KubeApi
from unit.collect.kubernetes.conftest import Watcher

Watch = Callable[..., Watcher]
BACKOFF = ("Pod", "BackOff", "Warning", "default")


def names(samples: list[Sample], metric: Metric) -> set[str]:
    place = metric.label_names.index("node")
    return {item.labels[place] for item in samples if item.metric is metric}


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str | None]]]:
    """A server that sends all askers to itself, under another name of this host; the tokens that it was shown there."""
    tokens: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Host"].startswith("localhost"):
                tokens.append(self.headers.get("Authorization"))
            self.send_response(307)
            self.send_header("Location", f"http://localhost:{server.server_address[1]}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", tokens
    server.shutdown()
    server.server_close()


def _wrong(name: str, **fields: object) -> Thing:
    return {**node(name), **fields}


def test_one_object_that_cannot_be_read_takes_no_other_one_with_it(api: KubeApi, watch: Watch) -> None:
    api.put(node("good"))
    api.put(_wrong("many", status={"allocatable": {"cpu": "many"}}))
    api.put(_wrong("endless", status={"allocatable": {"memory": "1e300E"}}))
    api.put(_wrong("shape", spec={"taints": "none"}))
    api.put(_wrong("time", spec={"taints": [{"key": "karpenter.sh/disrupted", "timeAdded": "yesterday"}]}))
    api.put(pod("p", "good"))
    watcher = watch()
    samples = watcher.cycle()
    assert names(samples, kubernetes.DRAIN_READY) == {"good"}
    assert "prod: 4 nodes cannot be read, the first: " in watcher.trouble
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    for name in ("many", "endless", "shape", "time"):
        api.put(node(name))
    wait_for(lambda: names(watcher.cycle(), kubernetes.NODE_INFO) == {"good", "many", "endless", "shape", "time"})
    assert watcher.trouble == ""
    assert api.count("Node", "list") == 2  # its two pages, once


def test_what_may_be_missing_may_also_be_null(api: KubeApi, watch: Watch) -> None:
    thing = node("bare")
    thing["metadata"].update(labels=None, annotations=None)
    thing["spec"] = {"taints": None}
    thing["status"] = {"allocatable": None, "conditions": None}
    api.put(thing)
    bare = pod("p", "bare")
    bare["spec"] = {"nodeName": "bare", "containers": None, "initContainers": None, "overhead": None}
    api.put(bare)
    watcher = watch()
    samples = watcher.cycle()
    assert names(samples, kubernetes.DRAIN_READY) == {"bare"}
    assert watcher.trouble == ""


def test_a_line_of_a_watch_that_does_not_end_is_not_kept(
    api: KubeApi, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_api, "MOST_LINE", 1 << 20)
    api.put(node("a"))
    watcher = watch()
    watcher.cycle()
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    api.say("Node", b"x" * (2 << 20))
    wait_for(lambda: api.count("Node", "watch") == 2, what="the next watch")
    samples = watcher.cycle()
    assert names(samples, kubernetes.NODE_INFO) == {"a"}


def test_a_list_that_is_longer_than_anybody_has_is_refused(
    api: KubeApi, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cluster, "NODES", _cluster.NODES._replace(most=4))
    for place in range(9):
        api.put(node(f"n{place}"))
    watcher = watch()
    watcher.cycle()
    assert "expected at most 4 objects, got more" in watcher.trouble
    assert {query.get("continue") for path, query in api.asked if path == _cluster.NODES.path} == {None, "3"}


def test_of_a_million_events_only_so_many_are_listed(
    api: KubeApi, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cluster, "EVENTS", _cluster.EVENTS._replace(most=6))
    for place in range(20):
        api.put(event(f"e{place:02}", "BackOff"))
    watcher = watch()
    samples = watcher.cycle()
    kept = {item.labels[1]: item.value for item in samples if item.metric is kubernetes.WATCH_OBJECTS}
    assert kept["events"] == 6
    assert watcher.trouble == ""


def test_events_past_the_bound_are_counted_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_events, "MOST", 10)
    tally = Tally()
    tally.replace([])
    for number in range(50):
        tally.put(Fact(f"uid-{number}", 3, BACKOFF))
    assert len(tally) == 10
    # Eleven of three, until the first was forgotten; from then on nobody knows whether an event is new.
    assert tally.counts[BACKOFF] == 11 * 3 + 39
    tally.put(Fact("uid-0", 4, BACKOFF))
    tally.put(Fact("uid-49", 5, BACKOFF))
    assert tally.counts[BACKOFF] == 11 * 3 + 39 + 1 + 2


def test_the_token_goes_nowhere_else(watch: Watch, tmp_path: Path, elsewhere: tuple[str, list[str | None]]) -> None:
    url, tokens = elsewhere
    there = KubeApi()
    there.port = int(url.rpartition(":")[2])
    file = there.kubeconfig(tmp_path / "redirected", token="secret-token")
    watcher = watch(clusters=(ClusterAccess("prod", kubeconfig=file),))
    watcher.cycle()
    assert "HTTP 307" in watcher.trouble
    assert "secret-token" not in watcher.trouble
    assert tokens == []


SECRET = "s3cret-token"
USER = "apiVersion: v1\nkind: Config\nusers: "


@pytest.mark.parametrize(
    "text",
    [
        USER + '[{name: here, user: {token: "' + SECRET,
        f"users:\n\t- token: {SECRET}\n",
        f"- {SECRET}\n",
        SECRET,
        USER + f"[{{name: here, usr: {{token: {SECRET}}}}}]\ncurrent-context: here\n"
        "contexts: [{name: here, context: {cluster: here, user: here}}]\n"
        "clusters: [{name: here, cluster: {server: 'http://127.0.0.1:1'}}]\n",
    ],
)
def test_a_kubeconfig_that_is_none_is_named_without_what_is_in_it(
    watch: Watch, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    watcher = watch(clusters=(ClusterAccess("prod", kubeconfig=file),))
    watcher.cycle()
    assert f"no way to the API by {file}: " in watcher.trouble
    assert SECRET not in watcher.trouble + caplog.text


def test_a_token_that_is_none_is_not_repeated(api: KubeApi, watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    api.put(node("a"))
    watcher = watch(user={"token": f"{SECRET}\nX-More: 1"})
    watcher.cycle()
    assert "the token has characters that no header may have" in watcher.trouble
    assert SECRET not in watcher.trouble + caplog.text


def test_a_token_may_end_its_line(api: KubeApi, watch: Watch, tmp_path: Path) -> None:
    api.tokens = {SECRET}
    api.put(node("a"))
    file = tmp_path / "token"
    file.write_text(SECRET + "\n")
    watcher = watch(user={"tokenFile": str(file)})
    assert names(watcher.cycle(), kubernetes.NODE_INFO) == {"a"}


@pytest.mark.parametrize("text", ["1e400", "1e300E", "NaN", "inf", "1" * 400, "", "1 Gi", "٣"])
def test_quantities_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected a quantity") as caught:
        quantity(text)
    assert len(str(caught.value)) < 150


def test_pools_past_the_bound_are_added_up(api: KubeApi, watch: Watch) -> None:
    for place in range(12):
        thing = node(f"n{place:02}", pool=f"pool-{place:02}", kind=f"type-{place:02}")
        api.put({**thing, "status": {"allocatable": {"cpu": "4", "memory": "1Gi"}}})
    limits = {"nodepool": 4, "instance_type": 4}
    watcher = watch(limits=limits)
    meter = Meter(limits=limits)
    meter.replace("kubernetes", watcher.cycle())
    shown = meter.reported_by("kubernetes")
    for metric, total in ((kubernetes.NODES, 12), (kubernetes.CPU_ALLOCATABLE, 48), (kubernetes.DRAINABLE, 12)):
        assert sum(item.value for item in shown if item.metric is metric) == total
        assert len([item for item in shown if item.metric is metric]) <= 16
