"""What is handed out (compose, systemd units, Kubernetes): nothing open, nothing as root, nothing that floats."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetwatch import __version__
from fleetwatch.places import PROJECT
from support_deploy import (
    DEPLOY,
    KUBERNETES,
    Thing,
    components,
    containers,
    everything,
    manifests,
    objects,
    pods,
    resources,
)

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE: Thing = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))
EXAMPLE = dict(
    line.split("=", 1)
    for line in (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
VERSIONED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+([-.][a-z0-9.]+)*(@sha256:[0-9a-f]{64})?")
SECRET = re.compile(r"(secret|token|password|passwd|api_?key|routing_key|credential|slack_url)", re.IGNORECASE)

each_pod = pytest.mark.parametrize(("name", "pod"), list(pods()), ids=[name for name, _ in pods()])
each_unit = pytest.mark.parametrize("unit", UNITS, ids=[unit.stem for unit in UNITS])


def faults_of_pod(pod: Thing) -> list[str]:
    """What a pod may do and need not."""
    found = [
        f"{key} is not needed" for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace") if pod.get(key)
    ]
    own = pod.get("securityContext", {})
    if not own.get("runAsNonRoot") or not own.get("runAsUser"):
        found.append("may run as root")
    if own.get("seccompProfile") != {"type": "RuntimeDefault"}:
        found.append("no seccomp profile")
    for box in containers(pod):
        found += [f"{box['name']}: {fault}" for fault in faults_of_container(box)]
    for volume in pod.get("volumes", []):
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            found.append(f"volume {volume['name']} has no bound")
    return found


def faults_of_container(box: Thing) -> list[str]:
    found = []
    own = box.get("securityContext", {})
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        found.append("may gain privileges")
    if own.get("capabilities") != {"drop": ["ALL"]}:
        found.append("has capabilities")
    if not own.get("readOnlyRootFilesystem"):
        found.append("can write its root file system")
    if "memory" not in box.get("resources", {}).get("limits", {}):
        found.append("has no limit of memory")
    if not VERSIONED.fullmatch(box["image"]):
        found.append(f"image {box['image']} floats")
    found += [f"variable {item['name']} may hold a secret" for item in box.get("env", []) if holds_secret(item)]
    found += [
        f"port {port['containerPort']} is opened on the node" for port in box.get("ports", []) if "hostPort" in port
    ]
    found += [
        f"{mount['name']} is writable"
        for mount in box.get("volumeMounts", [])
        if mount["mountPath"].startswith("/host") and not mount.get("readOnly")
    ]
    return found


def holds_secret(item: Thing) -> bool:
    """A secret's file may be named in a variable; its text may not."""
    return "secretKeyRef" in str(item.get("valueFrom")) or bool(
        SECRET.search(item["name"]) and not item["name"].endswith("_FILE")
    )


@each_pod
def test_a_pod_can_do_no_more_than_it_must(name: str, pod: Thing) -> None:
    assert faults_of_pod(pod) == []


@each_pod
def test_only_the_agent_gets_a_token_of_the_api(name: str, pod: Thing) -> None:
    assert pod["automountServiceAccountToken"] is (name == "fleetwatch-agent")


def test_the_wall_stands() -> None:
    """A pod as people write it in a hurry."""
    pod: Thing = {
        "hostNetwork": True,
        "containers": [
            {
                "name": "a",
                "image": "fleetwatch:latest",
                "env": [{"name": "API_TOKEN", "value": "x"}, {"name": "A", "valueFrom": {"secretKeyRef": {}}}],
                "ports": [{"containerPort": 4318, "hostPort": 4318}],
                "volumeMounts": [{"name": "proc", "mountPath": "/host/proc"}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    assert faults_of_pod(pod) == [
        "hostNetwork is not needed",
        "may run as root",
        "no seccomp profile",
        "a: may gain privileges",
        "a: has capabilities",
        "a: can write its root file system",
        "a: has no limit of memory",
        "a: image fleetwatch:latest floats",
        "a: variable API_TOKEN may hold a secret",
        "a: variable A may hold a secret",
        "a: port 4318 is opened on the node",
        "a: proc is writable",
        "volume tmp has no bound",
    ]


def test_images_are_this_version_and_those_of_compose() -> None:
    images = {box["image"] for _, pod in pods() for box in containers(pod)}
    assert images == {f"fleetwatch:{__version__}", EXAMPLE["COLLECTOR_IMAGE"], "triage-agent:1.0.0"}


def test_no_service_is_reachable_from_outside_the_cluster() -> None:
    services = [thing for thing in everything() if thing["kind"] == "Service"]
    assert services
    assert {thing["spec"].get("type", "ClusterIP") for thing in services} == {"ClusterIP"}
    assert not any("externalIPs" in thing["spec"] for thing in services)
    assert not [thing for thing in everything() if thing["kind"] in ("Ingress", "Gateway", "HTTPRoute")]


def test_every_pod_of_the_namespace_has_a_network_policy_and_the_rest_is_forbidden() -> None:
    policies = [thing["spec"] for thing in everything() if thing["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies
    named = {str(policy["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name")) for policy in policies}
    installed = {
        thing["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for file in resources()
        for thing in yaml.safe_load_all(file.read_text(encoding="utf-8"))
        if "template" in thing.get("spec", {})
    }
    assert installed <= named


def test_no_secret_lies_in_a_manifest() -> None:
    assert [thing for thing in everything() if thing["kind"] == "Secret"] == []


def test_a_role_has_no_star_and_only_reads() -> None:
    for thing in [*everything(), *(thing for file in components() for thing in objects(file))]:
        if thing["kind"] in ("Role", "ClusterRole"):
            for rule in thing["rules"]:
                assert set(rule["verbs"]) <= {"get", "list", "watch"}
                assert "*" not in [*rule["resources"], *rule["apiGroups"]]
                assert "secrets" not in rule["resources"]


def test_every_file_is_applied_by_a_kustomization_or_is_an_example() -> None:
    lying = {file for file in KUBERNETES.rglob("*.yaml") if file.name != "kustomization.yaml"}
    assert lying == {*manifests(), *components()}


def settings_of(unit: Path) -> dict[str, list[str]]:
    """Directive -> its values."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@each_unit
def test_a_unit_can_do_no_more_than_it_must(unit: Path) -> None:
    have = settings_of(unit)
    wanted = {
        "DynamicUser": ["yes"],
        "NoNewPrivileges": ["yes"],
        "ProtectSystem": ["strict"],
        "CapabilityBoundingSet": [""],
        "AmbientCapabilities": [""],
        "ProtectKernelTunables": ["yes"],
        "ProtectKernelModules": ["yes"],
        "ProtectControlGroups": ["yes"],
        "RestrictSUIDSGID": ["yes"],
        "RestrictNamespaces": ["yes"],
        "LockPersonality": ["yes"],
        "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_UNIX"],
        "UMask": ["0077"],
    }
    assert {key: have.get(key) for key in wanted} == wanted
    assert have["ProtectHome"][0] in ("yes", "read-only")
    assert have["MemoryMax"]
    assert have["TasksMax"]
    assert not [text for text in have.get("Environment", []) if SECRET.search(text) or "0.0.0.0" in text]
    # Its state is its own folder, and that is where the program is told to keep it.
    assert f"FLEETWATCH_DATA_DIR=/var/lib/{have['StateDirectory'][0]}" in have["Environment"]


@each_unit
def test_a_unit_starts_a_verb_that_exists(unit: Path) -> None:
    from click.testing import CliRunner

    from fleetwatch.cli import verbs

    _, verb, *options = settings_of(unit)["ExecStart"][0].split()
    shown = CliRunner().invoke(verbs, [verb, "--help"])
    assert shown.exit_code == 0
    assert all(option in shown.output for option in options if option.startswith("--"))


@pytest.mark.parametrize("service", COMPOSE["services"].values(), ids=COMPOSE["services"])
def test_a_service_of_compose_keeps_no_secret_in_a_variable(service: dict[str, Any]) -> None:
    variables = service.get("environment", {})
    suspicious = [name for name in variables if SECRET.search(name) and not name.endswith("_FILE")]
    # Grafana reads these two from a file by a notation of its own.
    assert [name for name in suspicious if not str(variables[name]).startswith("$$__file{")] == []
