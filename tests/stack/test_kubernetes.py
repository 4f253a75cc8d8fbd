"""The Kubernetes objects in a real API server: accepted whole, with rights that are enough and no more."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetwatch.places import PROJECT
from support import free_port, wait_for
from support_deploy import KUBERNETES, everything, objects, pods
from support_kubernetes import Api, cluster, kubeconfig
from support_otlp import span, traces_of
from support_stack import get, otlp_sink, post, program, running

pytestmark = pytest.mark.stack

CRDS = PROJECT / "tests" / "fixtures" / "kubernetes" / "crds.yaml"
COLLECTOR = PROJECT / "otel-collector"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A cluster with everything created."""
    with cluster(tmp_path_factory.mktemp("cluster")) as server:
        for thing in objects(CRDS):
            assert server.apply(thing).status == 201
        for thing in everything():
            if thing["kind"] == "Namespace":
                assert server.apply(thing).status == 201
        wait_for(lambda: all(_knows(server, thing) for thing in everything()), 20, "every kind of object")
        yield server


def _knows(api: Api, thing: dict[str, Any]) -> bool:
    """A new kind is served a moment after its definition."""
    return api.ask("GET", api.path(thing).rpartition("/")[0]).status == 200


@pytest.fixture(scope="module")
def created(api: Api) -> Api:
    for thing in everything():
        answer = api.apply(thing)
        assert answer.status in (200, 201), answer.body["message"]
    return api


@pytest.mark.parametrize("thing", everything(), ids=lambda thing: f"{thing['kind']}-{thing['metadata']['name']}")
def test_an_object_passes_a_strict_dry_run(api: Api, thing: dict[str, Any]) -> None:
    answer = api.apply(thing, dry=True)
    assert answer.status in (200, 201), answer.body["message"]


def test_the_wall_stands(api: Api) -> None:
    """An object with a field that does not exist is refused: the dry run means something."""
    wrong = json.loads(json.dumps(next(thing for thing in everything() if thing["kind"] == "DaemonSet")))
    wrong["spec"]["template"]["spec"]["hostNetwrk"] = True
    answer = api.apply(wrong, dry=True)
    assert answer.status >= 400
    assert "hostNetwrk" in answer.body["message"]


def test_what_was_created_is_what_stands_in_the_files(created: Api) -> None:
    for thing in everything():
        stored = created.ask("GET", created.path(thing)).body
        assert stored["metadata"]["name"] == thing["metadata"]["name"]
        if thing["kind"] == "PrometheusRule":
            assert stored["spec"] == thing["spec"]


@pytest.mark.parametrize("account", ["fleetwatch-exporter", "fleetwatch-host"])
def test_exporter_and_sidecars_have_no_rights_at_all(created: Api, account: str) -> None:
    token = created.token("fleetwatch", account)
    for path in ("/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces/fleetwatch/secrets", "/api/v1/namespaces"):
        assert created.ask("GET", path, token).status == 403
    assert created.ask("GET", "/version", token).status == 200  # it is the right that is missing, not the identity


def test_the_agent_may_read_pods_and_nothing_else(created: Api) -> None:
    token = created.token("fleetwatch", "fleetwatch-agent")
    assert created.ask("GET", "/api/v1/pods", token).status == 200
    assert created.ask("GET", "/api/v1/namespaces/default/pods", token).status == 200
    refused = [
        ("GET", "/api/v1/nodes"),
        ("GET", "/api/v1/namespaces"),
        ("GET", "/api/v1/namespaces/fleetwatch/secrets"),
        ("GET", "/api/v1/namespaces/fleetwatch/configmaps"),
        ("GET", "/apis/apps/v1/replicasets"),
        ("POST", "/api/v1/namespaces/fleetwatch/pods"),
        ("DELETE", "/api/v1/namespaces/fleetwatch/pods/any"),
        ("POST", "/api/v1/namespaces/fleetwatch/pods/any/exec"),
    ]
    answers = {f"{method} {path}": created.ask(method, path, token, {}).status for method, path in refused}
    assert answers == dict.fromkeys(answers, 403)


def test_the_agent_s_rights_are_enough_for_the_real_collector(created: Api, tmp_path: Path) -> None:
    """With the account's own token it learns which pod a connection comes from."""
    made = _pod_on_this_machine(created)
    config = kubeconfig(tmp_path / "kubeconfig", created, created.token("fleetwatch", "fleetwatch-agent"))
    # In a pod the token lies where auth_type serviceAccount looks for it; here it comes by a kubeconfig.
    (tmp_path / "test.yaml").write_text("processors: {k8sattributes: {auth_type: kubeConfig}}\n")
    health, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    files = [COLLECTOR / name for name in ("gateway.yaml", "agent.yaml", "agent-kubernetes.yaml")]
    with otlp_sink() as sink:
        env = {
            "KUBECONFIG": str(config),
            "KUBE_NODE_NAME": "node-1",
            "OTEL_RESOURCE_ATTRIBUTES": "host.name=node-1",
            "FLEETWATCH_COLLECTOR_HTTP": http,
            "FLEETWATCH_COLLECTOR_GRPC": f"127.0.0.1:{free_port()}",
            "FLEETWATCH_COLLECTOR_HEALTH": health,
            "FLEETWATCH_COLLECTOR_METRICS_PORT": str(free_port()),
            "FLEETWATCH_COLLECTOR_QUEUE": str(tmp_path / "queue"),
            "FLEETWATCH_COLLECTOR_TARGET": sink.url,
        }
        command = [program("otelcol-contrib"), *(f"--config={file}" for file in [*files, tmp_path / "test.yaml"])]
        log = tmp_path / "collector.log"
        with running(command, log, env):
            wait_for(lambda: get(f"http://{health}")[0] == 200, 60, f"the Collector; {log}")

            request = traces_of([span({})]).SerializeToString()

            def attributes() -> dict[str, str]:
                sink.requests.clear()
                assert post(f"http://{http}/v1/traces", request) == 200
                wait_for(lambda: sink.requests, 20, "the span behind the agent")
                resource = sink.requests[0].resource_spans[0].resource  # type: ignore[union-attr] # spans were sent
                return {item.key: item.value.string_value for item in resource.attributes}

            wait_for(lambda: attributes().get("k8s.pod.uid") == made, 60, f"the pod's name; {log}")
            found = attributes()
    assert found["k8s.namespace.name"] == "default"
    assert found["host.name"] == "node-1"
    assert "orbidden" not in log.read_text()


def _pod_on_this_machine(api: Api) -> str:
    """A running pod whose address is loopback's; returns its uid."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    api.apply(account)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "sender", "namespace": "default"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "a", "image": "a:1"}]},
    }
    answer = api.ask("POST", "/api/v1/namespaces/default/pods", body=pod)
    assert answer.status == 201, answer.body["message"]
    status = {"status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    path = "/api/v1/namespaces/default/pods/sender/status"
    assert api.ask("PATCH", path, body=status, kind="merge-patch+json").status == 200
    return str(answer.body["metadata"]["uid"])


@pytest.mark.parametrize(("name", "pod"), list(pods()), ids=[name for name, _ in pods()])
def test_a_pod_is_as_restricted_as_pods_can_be(created: Api, name: str, pod: dict[str, Any]) -> None:
    """The API server's own standard "restricted"; the nodes' sidecar differs only in the folders of the host."""
    space = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "strict", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    created.apply(space)
    for account in ("default", pod.get("serviceAccountName", "default")):
        created.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": "strict"}}
        )
    spec = json.loads(json.dumps(pod))
    if name == "fleetwatch":  # its claim is made by the StatefulSet
        spec["volumes"].append({"name": "data", "emptyDir": {}})
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "strict"}, "spec": spec}
    answer = created.ask("POST", "/api/v1/namespaces/strict/pods?dryRun=All", body=body)
    if name != "fleetwatch-host":
        assert answer.status == 201, answer.body["message"]
        return
    assert answer.status == 403
    assert answer.body["message"].endswith(
        'violates PodSecurity "restricted:latest": restricted volume types (volumes "proc", "sys", "root" use '
        'restricted volume type "hostPath")'
    )


def test_the_rules_that_the_command_prints_are_those_of_the_files_with_other_links() -> None:
    """`fleetwatch rules` with the links of a site."""
    import subprocess
    import sys

    env = {**os.environ, "FLEETWATCH_LINKS__EXPORTER": "https://fleetwatch.example.com"}
    command = [sys.executable, "-m", "fleetwatch", "rules", "--format", "kubernetes"]
    printed = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    ours = list(yaml.safe_load_all(printed))
    shipped = objects(KUBERNETES / "monitoring" / "rules.yaml")
    assert [item["metadata"] for item in ours] == [item["metadata"] for item in shipped]
    text = json.dumps(ours)
    assert "https://fleetwatch.example.com/runbooks/LedgerFailing" in text
    assert "127.0.0.1:9464" not in text
