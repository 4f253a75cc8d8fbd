"""The Collector's allow-list lets through what the dialects read, and what a sidecar says from nobody else."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable
from typing import Any

import yaml

import fleetwatch.dialects
from fleetwatch.catalogue import host_metrics
from fleetwatch.catalogue.hosts import HOST
from fleetwatch.dialects.host_report import HOST as HOST_ATTRIBUTE
from fleetwatch.dialects.host_report import SERVICE
from support_collector import GATEWAY

CONFIG: dict[str, Any] = yaml.safe_load(GATEWAY.read_text(encoding="utf-8"))
ALLOWED = set(CONFIG["processors"]["redaction"]["allowed_keys"])
LABELS = {label.name for metric in host_metrics().values() for label in metric.labels}


KNOWN_BY = ("span", "log", "datapoint")
"""Contexts in which a known sender's scope lets words without a dot pass."""
LOOKED_INTO = {
    # Texts that must not pass: transform/inside takes out of them what is read.
    "embedding.invocation_parameters",
    "input.value",
    "llm.invocation_parameters",
    "metadata",
    "output.value",
    "traceloop.entity.input",
    "traceloop.entity.output",
}
READ_ELSEWHERE = {"host_report"}
"""Dialects whose attributes are not known here: those of a sidecar are the catalogue's labels."""


def read_by(module: Any) -> Iterable[str]:
    """Attributes that a dialect, or what it is made of, says it reads."""
    found: Iterable[str] = getattr(module, "READ", None) or getattr(module, "ATTRIBUTES", None) or ()
    return [name for name in found if isinstance(name, str)]


MODULES = {
    info.name.removeprefix("fleetwatch.dialects."): importlib.import_module(info.name)
    for info in pkgutil.walk_packages(fleetwatch.dialects.__path__, "fleetwatch.dialects.")
}
READ = {name for module in MODULES.values() if hasattr(module, "READ") for name in read_by(module)} | set(
    read_by(MODULES["agent_report"])
)


def words() -> set[str]:
    """What known senders may say without a dot."""
    (found,) = set(
        re.findall(r"keep_matching_keys\(attributes, \S+\|\^\((\S+)\)\$", GATEWAY.read_text(encoding="utf-8"))
    )
    return set(found.split("|"))


def missing(allowed: list[str]) -> set[str]:
    """Labels of host metrics that would be dropped."""
    return LABELS - set(allowed)


def test_every_label_of_a_host_passes() -> None:
    assert missing(CONFIG["processors"]["redaction"]["allowed_keys"]) == set()


def test_no_word_without_a_dot_is_let_through_that_neither_a_host_has_nor_a_known_sender() -> None:
    assert {key for key in ALLOWED if "." not in key} - LABELS - words() == set()


def test_every_attribute_that_a_dialect_reads_passes() -> None:
    assert READ - ALLOWED == LOOKED_INTO
    assert {name for name in READ - LOOKED_INTO if "." not in name} <= words()


def test_every_dialect_says_what_it_reads() -> None:
    dialects = {name for name, module in MODULES.items() if hasattr(module, "DIALECT")}
    assert {name for name in dialects if not read_by(MODULES[name])} == READ_ELSEWHERE


def test_what_is_looked_into_is() -> None:
    inside = str(CONFIG["processors"]["transform/inside"])
    assert {name for name in LOOKED_INTO if f'attributes["{name}"]' not in inside} == set()


def test_arguments_results_and_sessions_become_digests() -> None:
    digests = {
        key
        for group in CONFIG["processors"]["transform/digests"]["trace_statements"]
        for statement in group["statements"]
        for key in re.findall(r'^set\(attributes\["(\S+)"\], SHA256\(', statement)
    }
    assert digests >= {"gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "session.id", "prompt.id", "tool_input"}
    assert digests <= ALLOWED
    for name, pipeline in CONFIG["service"]["pipelines"].items():
        order = pipeline["processors"]
        assert order.index("transform/digests") < order.index("transform/texts"), name


def test_labels_of_others_are_dropped_before_the_list_is_asked() -> None:
    for name, pipeline in CONFIG["service"]["pipelines"].items():
        order = pipeline["processors"]
        assert order.index("transform/labels") < order.index("redaction"), name


def test_collector_and_exporter_know_a_sidecar_by_the_same_name() -> None:
    assert f'!= "{SERVICE}"' in GATEWAY.read_text(encoding="utf-8")
    assert HOST.name == HOST_ATTRIBUTE


def test_the_wall_stands() -> None:
    """A label that is not allowed is found."""
    assert "cpu_mode" in missing(["host_name"])
