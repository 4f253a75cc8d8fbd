"""The rule files with the links of the settings, for a Prometheus of one's own or for the Prometheus operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from fleetwatch.places import PROJECT
from fleetwatch.stack.render import relink

FOLDERS = ("rules", "alerts")


def groups(bases: Mapping[str, str], source: Path = PROJECT) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(name such as `llm-alerts`, its groups) of each rule file. bases: link of the repository -> link to show.

    Raises FileNotFoundError where the program was installed without its checkout.
    """
    if not (source / "prometheus").is_dir():
        raise FileNotFoundError(f"{source}: expected prometheus/rules here; run from a checkout of fleetwatch")
    for folder in FOLDERS:
        for file in sorted((source / "prometheus" / folder).glob("*.yml")):
            text = file.read_text(encoding="utf-8")
            # Kubernetes allows no underscore in a name.
            yield f"{file.stem.replace('_', '-')}-{folder}", yaml.safe_load(relink(text, bases))["groups"]


def for_prometheus(bases: Mapping[str, str]) -> str:
    """All groups as one rule file."""
    everything = [group for _, found in groups(bases) for group in found]
    return _dump({"groups": everything})


def for_operator(bases: Mapping[str, str], namespace: str = "fleetwatch") -> str:
    """A PrometheusRule object for each file."""
    objects = [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {
                "name": f"fleetwatch-{name}",
                "namespace": namespace,
                "labels": {"app.kubernetes.io/part-of": "fleetwatch"},
            },
            "spec": {"groups": found},
        }
        for name, found in groups(bases)
    ]
    return "---\n".join(_dump(thing) for thing in objects)


def _dump(data: object) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
