"""The files of exporters/deploy as data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fleetwatch.places import PROJECT

DEPLOY = PROJECT / "exporters" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
Thing = dict[str, Any]


def resources(folder: Path = KUBERNETES) -> list[Path]:
    """The files that a kustomization names, in its order."""
    return [folder / name for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]]


def manifests() -> list[Path]:
    """All files with objects: what is applied, what comes with the operator, examples."""
    return [*resources(), *resources(KUBERNETES / "monitoring"), *sorted((KUBERNETES / "examples").glob("*.yaml"))]


def components() -> list[Path]:
    """Files of what a site may switch on: more rights, which nobody has by default."""
    return resources(KUBERNETES / "clusters")


def objects(file: Path) -> list[Thing]:
    return [thing for thing in yaml.safe_load_all(file.read_text(encoding="utf-8")) if thing]


def everything() -> list[Thing]:
    return [thing for file in manifests() for thing in objects(file)]


def pods() -> Iterator[tuple[str, Thing]]:
    """(name of the workload, its pod's spec)."""
    for thing in everything():
        template = thing.get("spec", {}).get("template")
        if template:
            yield thing["metadata"]["name"], template["spec"]


def containers(pod: Thing) -> list[Thing]:
    return [*pod.get("initContainers", []), *pod["containers"]]
