"""Every alert reaches exactly the receiver that is meant for it, on every Alertmanager here, and no alert is lost."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support_alertmanager import CONFIG, Program, programs
from support_alerts import SEVERITY_OF_LIMIT

CONFIG_FILE = CONFIG / "alertmanager.yml"
RULES = sorted((CONFIG.parent / "prometheus" / "alerts").glob("*.yml"))
RECEIVER_OF = {"page": "page", "ticket": "ticket", "info": "board"}

versions = pytest.mark.parametrize(
    "program", [pytest.param(p, id=p.version) for p in programs()] or [pytest.param(None, id="amtool")]
)
pytestmark = versions


@pytest.fixture(autouse=True)
def _needs_amtool(program: Program | None) -> None:
    if program is None:
        pytest.skip("amtool is not on this machine")


def shipped_alerts() -> list[dict[str, Any]]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def wrong_routes(program: Program, config: Path, expected: list[tuple[str, dict[str, str]]]) -> list[str]:
    """What amtool says about label sets that resolve to anything but their receiver: (receiver, labels) pairs in."""
    wrong = []
    for receiver, labels in expected:
        arguments = [f"{name}={value}" for name, value in labels.items()]
        command = [
            program.amtool,
            "config",
            "routes",
            "test",
            f"--config.file={config}",
            f"--verify.receivers={receiver}",
        ]
        run = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=30, check=False)
        if run.returncode:
            wrong.append(f"{labels}: {(run.stdout + run.stderr).strip()}")
    return wrong


def intended(rule: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """The receiver that an alert of the rule should reach, and its labels, for each severity that it may have.

    A templated label gets some value.
    """
    labels = {name: "some-team" if "{{" in str(value) else str(value) for name, value in rule["labels"].items()}
    labels["alertname"] = rule["alert"]
    if rule["alert"] == "Watchdog":
        return [("deadman", labels)]
    return [(RECEIVER_OF[severity], labels | {"severity": severity}) for severity in possible_severities(rule)]


def possible_severities(rule: dict[str, Any]) -> list[str]:
    """One, or all where the limit carries it."""
    severity = rule["labels"]["severity"]
    return list(RECEIVER_OF) if severity == SEVERITY_OF_LIMIT else [severity]


def test_the_configuration_is_valid(program: Program) -> None:
    run = subprocess.run(
        [program.amtool, "check-config", str(CONFIG_FILE)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 templates" in run.stdout


def test_every_shipped_alert_reaches_its_one_receiver(program: Program) -> None:
    expected = [case for rule in shipped_alerts() for case in intended(rule)]
    assert {receiver for receiver, _ in expected} == {"page", "ticket", "board", "deadman"}
    assert wrong_routes(program, CONFIG_FILE, expected) == []


def test_an_alert_that_nobody_planned_is_delivered_all_the_same(program: Program) -> None:
    strangers: list[dict[str, str]] = [
        {},
        {"alertname": "FromAnotherRuleSet", "severity": "critical"},
        {"alertname": "NoSeverity", "namespace": "web"},
        {"alertname": "OddSeverity", "severity": "Page"},
        {"severity": "", "owner": "nobody"},
    ]
    assert wrong_routes(program, CONFIG_FILE, [("ticket", labels) for labels in strangers]) == []


def test_a_route_to_the_wrong_receiver_is_noticed(program: Program, tmp_path: Path) -> None:
    """The wall itself: pages sent to the silent receiver, and a page route whose `continue` reaches a second one."""
    page = [("page", {"alertname": "ExporterDown", "severity": "page"})]
    silent, doubled = (yaml.safe_load(CONFIG_FILE.read_text(encoding="utf-8")) for _ in range(2))
    for number, config in enumerate((silent, doubled)):
        route = next(route for route in config["route"]["routes"] if route["receiver"] == "page")
        if config is silent:
            route["receiver"] = "board"
        else:
            route["continue"] = True
            config["route"]["routes"].append({"receiver": "ticket"})
        broken = tmp_path / f"{number}.yml"
        broken.write_text(yaml.safe_dump(config), encoding="utf-8")
        assert len(wrong_routes(program, broken, page)) == 1


def test_inhibition_names_alerts_that_exist_and_labels_that_both_sides_carry(program: Program) -> None:
    """A label shows that it is carried by being named in the alert's texts."""
    rules: dict[str, list[dict[str, Any]]] = {}
    for rule in shipped_alerts():
        rules.setdefault(rule["alert"], []).append(rule)
    for inhibition in yaml.safe_load(CONFIG_FILE.read_text(encoding="utf-8"))["inhibit_rules"]:
        for side, severities in (("source_matchers", tuple(RECEIVER_OF)), ("target_matchers", ("ticket",))):
            names, match_severity = inhibition[side]
            named = match_severity.split('"')[1].split("|")
            # A page is never muted: who is paged must not depend on what else is wrong.
            assert set(named) <= set(severities)
            assert match_severity == f'severity{"=~" if len(named) > 1 else "="}"{"|".join(named)}"'
            for name in re.findall(r"[A-Za-z]+", names.split('"')[1]):
                assert name in rules, f"{name} is no shipped alert"
                for rule in rules[name]:
                    assert set(named) <= set(possible_severities(rule))
                    texts = "".join(rule["annotations"].values())
                    assert [label for label in inhibition.get("equal", []) if f"$labels.{label}" not in texts] == []


def test_secrets_are_named_by_file_only(program: Program) -> None:
    config = yaml.safe_load(CONFIG_FILE.read_text(encoding="utf-8"))
    entries = [
        entry
        for receiver in config["receivers"]
        for kind in ("slack_configs", "pagerduty_configs", "webhook_configs")
        for entry in receiver.get(kind, [])
    ]
    files = {value for entry in entries for key, value in entry.items() if key.endswith("_file")}
    assert files == {"secrets/slack_url", "secrets/pagerduty_key"}
    assert [
        entry for entry in entries if {"api_url", "routing_key", "service_key", "url", "http_config"} & set(entry)
    ] == []
