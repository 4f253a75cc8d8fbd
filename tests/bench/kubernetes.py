"""What it costs to watch a large cluster, against the kubernetes client's own lists of the same objects.

A real API server, nodes and pods of kwok. Each measurement is a process of its own: time to the first state (ours: to
the first samples, readiness reckoned; the peer's: to all objects in its hands), processor time for that, and memory
beyond what the process had before, when all was imported that either needs. Rounds alternate; figures are medians. Then
ours alone: a cycle of the full state, and the processor time of a watch at rest.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

# This file's folder must not be searched: here `kubernetes` is this file, and not the client.
sys.path.remove(str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
import psutil
import urllib3

from support import wait_for
from support_clusters import Thing, budget, node, pod
from support_kubernetes import ADMIN, Api, cluster, kubeconfig, kubelets

SPACES = 50
REST = 30.0
"""Seconds at rest."""


class Result(NamedTuple):
    """seconds: of the wall; cpu: seconds; memory: MiB beyond the imports."""

    seconds: float
    cpu: float
    memory: float


def sized(thing: Thing, place: int) -> Thing:
    """A pod as chart authors write them: two containers with variables, probes and volumes."""
    environment = [{"name": f"SETTING_{number}", "value": f"value-{number}-" + "x" * 40} for number in range(15)]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    boxes = [
        {
            "name": name,
            "image": f"registry.example.com/team/{name}:1.2.{place % 7}",
            "env": environment,
            "livenessProbe": probe,
            "readinessProbe": probe,
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "volumeMounts": [{"name": "settings", "mountPath": "/etc/app"}],
        }
        for name in ("main", "proxy")
    ]
    spec = {**thing["spec"], "containers": boxes, "volumes": [{"name": "settings", "configMap": {"name": "settings"}}]}
    meta = {**thing["metadata"], "annotations": {"checksum/config": "0" * 64, "prometheus.io/scrape": "true"}}
    return {**thing, "metadata": meta, "spec": spec}


def fill(api: Api, nodes: int, pods: int) -> None:
    pool = urllib3.PoolManager(maxsize=8, ca_certs=str(api.ca_file), cert_reqs="CERT_REQUIRED")
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}

    def post(item: tuple[str, Thing]) -> None:
        answer = pool.request("POST", api.base + item[0], body=json.dumps(item[1]), headers=headers)
        if answer.status != 201:
            raise RuntimeError(f"{item[0]}: HTTP {answer.status}: {answer.data[:300]!r}")

    def things() -> Iterator[tuple[str, Thing]]:
        for place in range(nodes):
            kind = ("m7g.large", "c7g.xlarge", "r7g.large")[place % 3]
            yield "/api/v1/nodes", node(f"node-{place:05}", zone=f"eu-west-1{'abc'[place // 3 % 3]}", kind=kind)

    def inhabitants() -> Iterator[tuple[str, Thing]]:
        for place in range(pods):
            space = f"space-{place % SPACES}"
            labels = {"app": f"app-{place % 500}", "pod-template-hash": f"{place % 500:010x}", "tier": "backend"}
            thing = pod(f"pod-{place:06}", f"node-{place % nodes:05}", space=space, labels=labels)
            yield f"/api/v1/namespaces/{space}/pods", sized(thing, place)

    def rest() -> Iterator[tuple[str, Thing]]:
        for place in range(SPACES):
            for app in range(4):
                selector = {"matchLabels": {"app": f"app-{(place + app * SPACES) % 500}"}}
                thing = budget(f"budget-{app}", space=f"space-{place}", selector=selector, allowed=1)
                yield f"/apis/policy/v1/namespaces/space-{place}/poddisruptionbudgets", thing

    with ThreadPoolExecutor(8) as workers:
        for place in range(SPACES):
            meta = {"name": f"space-{place}"}
            post(("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}))
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            post((f"/api/v1/namespaces/space-{place}/serviceaccounts", account))
        for group in (things(), rest(), inhabitants()):
            list(workers.map(post, group))


def ours(config: Path) -> Iterator[None]:
    """Yields before it begins, when the first state is there, then once per cycle."""
    from fleetwatch.collect.here import ClusterAccess, Here, KubernetesAccess
    from fleetwatch.collect.kubernetes.kubernetes import Kubernetes

    access = KubernetesAccess((ClusterAccess("bench", kubeconfig=config),), ("karpenter.sh/nodepool",))
    source = Kubernetes(Here(kubernetes=access))
    yield
    while True:
        count = sum(1 for _ in source())
        if not count:
            raise RuntimeError("nothing was reported")
        yield


def peer(config: Path) -> Iterator[None]:
    """The same objects by the client's own lists, page by page, kept."""
    from kubernetes import client
    from kubernetes import config as loader

    loader.load_kube_config(str(config))
    core, policy = client.CoreV1Api(), client.PolicyV1Api()
    budgets, events = policy.list_pod_disruption_budget_for_all_namespaces, core.list_event_for_all_namespaces
    lists = (core.list_node, core.list_pod_for_all_namespaces, budgets, events)
    for each in lists:
        each(limit=1)  # the client imports its types with the first object
    yield
    kept: list[Any] = []
    for each in lists:
        following = None
        while True:
            page = each(limit=500, _continue=following) if following else each(limit=500)
            kept += page.items
            following = page.metadata._continue
            if not following:
                break
    yield


WAYS = {"ours": ours, "peer": peer}


def measured(name: str, config: Path) -> None:
    """In a process of its own: prints a Result; ours goes on with its cycles and its rest."""
    import kubernetes  # noqa: F401 - ours loads it with the first request; what it costs is in neither figure

    running = WAYS[name](config)
    next(running)
    gc.collect()
    process = psutil.Process()
    before, used, began = process.memory_info().rss, time.process_time(), time.monotonic()
    next(running)
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    gc.collect()
    print(json.dumps(Result(seconds, cpu, (process.memory_info().rss - before) / 2**20)), flush=True)
    if name == "ours":
        cycles = []
        for _ in range(5):
            start = time.process_time()
            next(running)
            cycles.append(time.process_time() - start)
        start = time.process_time()
        time.sleep(REST)
        rest = (time.process_time() - start) / REST
        print(json.dumps([statistics.median(cycles), rest, process.memory_info().rss / 2**20]))


def asked(name: str, config: Path) -> list[Any]:
    command = [sys.executable, __file__, "--measure", name, "--kubeconfig", str(config)]
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    if printed.returncode:
        raise RuntimeError(f"{name}: {printed.stderr}")
    return [json.loads(line) for line in printed.stdout.splitlines()]


@contextmanager
def full(nodes: int, pods: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with cluster(folder) as api, kubelets(folder, api):
            fill(api, nodes, pods)

            def waiting() -> int:
                path = "/api/v1/pods?fieldSelector=status.phase%3DPending&limit=1"
                answer = api.ask("GET", path).body
                return len(answer["items"])

            wait_for(lambda: not waiting(), 900, "kwok to start all pods", 2)
            yield kubeconfig(folder / "kubeconfig", api)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--kubeconfig", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measured(options.measure, options.kubeconfig)
        return
    results: dict[str, list[Result]] = {name: [] for name in WAYS}
    alone: list[list[float]] = []
    with full(options.nodes, options.pods) as config:
        for _ in range(options.rounds):
            for name, found in results.items():
                first, *more = asked(name, config)
                found.append(Result(*first))
                alone += more
    medians = {
        name: Result(*(statistics.median(values) for values in zip(*found, strict=True)))
        for name, found in results.items()
    }
    print(f"{options.nodes} nodes, {options.pods} pods, {4 * SPACES} budgets")
    for name, result in medians.items():
        print(f"{name}: first state {result.seconds:.2f} s, {result.cpu:.2f} CPU s, {result.memory:.1f} MiB")
    mine, theirs = medians["ours"], medians["peer"]
    print(
        f"ratio: time {mine.seconds / theirs.seconds:.2f}, CPU {mine.cpu / theirs.cpu:.2f}, "
        f"memory {mine.memory / theirs.memory:.2f}"
    )
    cycle, rest, memory = (statistics.median(values) for values in zip(*alone, strict=True))
    print(f"ours: {cycle * 1000:.0f} CPU ms a cycle, {rest * 100:.2f} % of a core to watch, {memory:.0f} MiB in all")


if __name__ == "__main__":
    main()
