"""Every alert is complete; and the wall that says so falls on whoever breaks a rule."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetwatch.places import PROJECT
from support_alerts import (
    ALWAYS_FIRING,
    DOMAINS,
    SEVERITY_OF_LIMIT,
    Alert,
    House,
    complaints,
    the_alerts,
    the_house,
    usual_severities,
)

# One that has everything: labels in its texts, a query in a template, a variable in its link.
MODEL_ALERT = "LlmBudgetBurnsFast"


@cache
def house() -> House:
    return the_house()


def alert_named(name: str) -> Alert:
    return copy.deepcopy(next(alert for alert in the_alerts() if alert["alert"] == name))


@pytest.mark.parametrize("alert", the_alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_is_complete(alert: Alert) -> None:
    assert complaints(alert, house()) == []


def test_every_runbook_has_its_alert() -> None:
    names = {alert["alert"] for alert in the_alerts()}
    assert {file.stem for file in (PROJECT / "prometheus" / "runbooks").glob("*.md")} == names


def test_rules_that_share_a_name_differ_in_a_fixed_label() -> None:
    """Else their alerts are one and the same to Alertmanager."""
    rules = Counter((alert["alert"], *sorted(alert["labels"].items())) for alert in the_alerts())
    assert [rule for rule, times in rules.items() if times > 1] == []


def test_only_the_watchdog_may_fire_for_ever() -> None:
    assert {alert["alert"] for alert in the_alerts() if "for" not in alert} == set(ALWAYS_FIRING)


def test_no_alert_holds_a_threshold_of_its_own() -> None:
    """Numbers stand in the first group of the rule file, where a user changes them."""
    for domain in sorted(DOMAINS):
        groups = yaml.safe_load((PROJECT / "prometheus" / "rules" / f"{domain}.yml").read_text())["groups"]
        assert groups[0]["name"] == f"{domain}_thresholds"
        recorded = {rule["record"] for rule in groups[0]["rules"]}
        used = "".join(file.read_text() for file in (PROJECT / "prometheus" / "alerts").glob(f"{domain}*.yml"))
        used += (PROJECT / "prometheus" / "rules" / f"{domain}.yml").read_text()
        for name in recorded:
            assert name.startswith(f"{domain}:threshold:")
            taken = (f"scalar({name})", f"group_left (alert, severity) {name}")
            assert any(text in used for text in taken), f"{name} changes nothing"


def test_the_warned_of_sample_limit_is_the_configured_one() -> None:
    config = yaml.safe_load((PROJECT / "prometheus" / "prometheus.yml").read_text())
    [job] = [job for job in config["scrape_configs"] if job["job_name"] == "fleetwatch"]
    groups = yaml.safe_load((PROJECT / "prometheus" / "rules" / "exporter.yml").read_text())["groups"]
    [limit] = [rule["expr"] for rule in groups[0]["rules"] if rule["record"] == "exporter:threshold:scrape_samples"]
    assert limit == f"vector({job['sample_limit']})"


LIMITS = ("sample_limit", "label_limit", "label_name_length_limit", "label_value_length_limit", "target_limit")


def test_every_job_has_every_scrape_limit() -> None:
    config = yaml.safe_load((PROJECT / "prometheus" / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        missing = [key for key in (*LIMITS, "body_size_limit") if not job.get(key)]
        assert not missing, f"job {job['job_name']} has no {', '.join(missing)}"


def _set(*path: str, to: Any) -> Callable[[Alert], None]:
    def change(alert: Alert) -> None:
        inner = alert
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to

    return change


def _drop(*path: str) -> Callable[[Alert], None]:
    def change(alert: Alert) -> None:
        inner = alert
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


def _replace(key: str, old: str, new: str) -> Callable[[Alert], None]:
    def change(alert: Alert) -> None:
        text = alert["annotations"][key]
        assert old in text, f"the alert changed: {old!r} is not in its {key}"
        alert["annotations"][key] = text.replace(old, new)

    return change


BREAKS = [
    (_set("alert", to="llm_budget_burns"), "not CamelCase"),
    (_set("labels", "severity", to="critical"), "severity is 'critical'"),
    (_drop("labels", "severity"), "severity is None"),
    (_set("labels", "severity", to="{{ $labels.budget }}"), "severity is '{{ $labels.budget }}'"),
    (_set("labels", "severity", to="{{ $labels.severity }}"), "no threshold names it with a usual one"),
    (_drop("labels", "domain"), "domain is None"),
    (_drop("labels", "owner"), "no owner"),
    (_set("labels", "owner", to="{{ $value }}"), "$value in a label"),
    (_drop("for"), "for is None"),
    (_set("for", to="0s"), "for is '0s'"),
    (_drop("keep_firing_for"), "keep_firing_for is None"),
    (_drop("annotations", "summary"), "no summary"),
    (_set("annotations", "summary", to="burns at {{ $value }}"), "$value in the summary"),
    (_drop("annotations", "description"), "no description"),
    (_set("annotations", "description", to="Budget {{ $labels.budget }} burns."), "has no number"),
    (_set("annotations", "description", to="It is {{ $value }}."), "has no unit"),
    (_drop("annotations", "runbook_url"), "no runbook_url"),
    (_set("annotations", "runbook_url", to="http://127.0.0.1:9464/runbooks/Other"), "runbook_url ends in"),
    (_set("alert", to="NobodyWroteThis"), "no runbook NobodyWroteThis.md"),
    (_drop("annotations", "dashboard_url"), "no dashboard_url"),
    (_replace("dashboard_url", "/d/fw-llm", "/d/llm"), "expected /d/fw-<stem>"),
    (_replace("dashboard_url", "/d/fw-llm", "/d/fw-nowhere"), "board 'nowhere', which does not exist"),
    (_replace("dashboard_url", "&from=now-6h", ""), "has no time range"),
    (_replace("dashboard_url", "var-budget", "budget"), "sets no variable"),
    (_replace("dashboard_url", "var-budget", "var-bugdet"), "sets bugdet, which its board does not have"),
    (_replace("dashboard_url", " | urlquery", ""), "without urlquery"),
    (_replace("description", "llm_budget_remaining_usd", "llm_budget_left_usd"), "no such metric: llm_budget_left_usd"),
    (_replace("summary", "$labels.budget", "$labels.bugdet"), "$labels.bugdet"),
    (_set("expr", to="llm:budget_burn:ratio_rate2m > 1"), "no such metric: llm:budget_burn:ratio_rate2m"),
    (_set("expr", to="llm_budget_usd{team='a'} > 1"), "no label team on llm_budget_usd"),
    (_set("expr", to="sum(llm_budget_usd) > 1"), "which the expression does not have"),
    (_set("labels", "owner", to="nobody-tests-this"), "no test sees it fire"),
]


@pytest.mark.parametrize(("change", "complaint"), BREAKS, ids=[complaint for _, complaint in BREAKS])
def test_an_incomplete_alert_is_complained_about(change: Callable[[Alert], None], complaint: str) -> None:
    alert = alert_named(MODEL_ALERT)
    change(alert)
    assert complaint in "\n".join(complaints(alert, house()))


def test_a_severity_of_the_limit_that_the_limit_does_not_carry_is_complained_about() -> None:
    alert = alert_named("PhaseSlower")
    alert["expr"] = alert["expr"].replace("group_left (severity)", "group_left ()")
    assert "PhaseSlower: its texts use $labels.severity, which the expression does not have" in complaints(
        alert, house()
    )


def test_every_usual_severity_is_an_alert_s() -> None:
    alerts = {alert["alert"]: alert["labels"]["severity"] for alert in the_alerts()}
    assert [name for name in usual_severities() if alerts.get(name) != SEVERITY_OF_LIMIT] == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# LlmBudgetBurnsFast\n## Meaning\n## Impact\n## Mitigation\n", "has not the headings"),
        ("# Another\n## Meaning\n## Impact\n## Diagnosis\n## Mitigation\n", "does not begin with"),
    ],
)
def test_an_incomplete_runbook_is_complained_about(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / f"{MODEL_ALERT}.md").write_text(text)
    found = complaints(alert_named(MODEL_ALERT), house()._replace(runbooks=tmp_path))
    assert complaint in "\n".join(found)


FIRED = {"exp_labels": {"severity": "page", "domain": "llm", "owner": "platform", "budget": "b"}}


@pytest.mark.parametrize(
    ("looks", "complaint"),
    [
        ([], "no test sees it fire"),
        ([("1m", []), ("2m", [])], "no test sees it fire"),
        ([("1m", [FIRED]), ("2m", [])], "no test sees it hold"),
        ([("1m", []), ("2m", [FIRED])], "no test sees it end"),
        ([("1m", []), ("2m", [FIRED]), ("3m", [])], "no test sees it keep quiet"),
    ],
)
def test_an_alert_without_all_its_proofs_is_complained_about(
    looks: list[tuple[str, list[Any]]], complaint: str
) -> None:
    proofs = [{"alertname": MODEL_ALERT, "eval_time": at, "exp_alerts": fired} for at, fired in looks]
    tests = [{"tests": [{"input_series": [{"series": "x"}], "alert_rule_test": proofs}]}]
    assert complaint in "\n".join(complaints(alert_named(MODEL_ALERT), house()._replace(tests=tests)))
