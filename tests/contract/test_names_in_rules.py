"""Every metric and label of rules and alerts exists: in the catalogue, as a recorded series, or on the allow-list."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.places import PROJECT
from support_alerts import ALERTS, RULES, queries_of, the_alerts
from support_foreign_metrics import FOREIGN
from support_promql import Series, check, known_series, names_in, rules_of

ALL_RULES = [(file, rule) for file in (*RULES, *ALERTS) for rule in rules_of(file)]


@cache
def series() -> Series:
    return known_series(RULES)


@pytest.mark.parametrize(
    ("file", "rule"), ALL_RULES, ids=[rule.get("record") or rule["alert"] for _, rule in ALL_RULES]
)
def test_a_rule_uses_only_names_that_exist(file: Path, rule: dict[str, Any]) -> None:
    assert check(rule["expr"], series()).problems == []


def test_recorded_names_say_their_domain_what_and_how() -> None:
    for file, rule in ALL_RULES:
        if "record" in rule:
            domain, _, rest = rule["record"].partition(":")
            assert domain == file.stem, f"{rule['record']} is recorded in {file.name}"
            assert rest.count(":") == 1, f"{rule['record']}: expected {domain}:<what>:<how>"


def test_no_series_is_recorded_twice() -> None:
    names = [rule["record"] for _, rule in ALL_RULES if "record" in rule]
    assert sorted(set(names)) == sorted(names)


def test_every_foreign_metric_has_a_reason() -> None:
    assert [name for name, foreign in FOREIGN.items() if not foreign.reason.strip()] == []


def test_names_are_found_wherever_they_stand() -> None:
    expr = 'sum(rate(a_total{x="1"}[5m])) / on () max_over_time(b{y=~"2", z!="3"}[1h:5m]) > scalar(c) or absent(d)'
    assert names_in(expr) == {
        ("a_total", frozenset({"x"})),
        ("b", frozenset({"y", "z"})),
        ("c", frozenset()),
        ("d", frozenset()),
    }


def test_names_are_found_in_queries_of_boards() -> None:
    expr = 'sum by (model) (rate(llm_cost_usd_total{agent=~"$agent", team=~"${team:regex}"}[$__rate_interval]))'
    assert names_in(expr) == {("llm_cost_usd_total", frozenset({"agent", "team"}))}
    assert check(expr, series()).labels == {"model"}


def test_names_are_found_in_the_texts_of_alerts() -> None:
    queries = [query for alert in the_alerts() for query in queries_of(alert)]
    assert 'max(llm_budget_usd{budget="x"})' in queries
    assert "llm:requests:increase1h offset 7d or llm:requests:increase1h offset 1d" in queries


CODE = re.compile(r"`([^`]+)`|^ {4,}(\S.*)$", re.MULTILINE)
OURS = re.compile(
    r"(?<![\w.:\"|])(?:(?:llm|exporter|hosts|bills|ai_services|serving|agents|spot|kubernetes|aws):\w+:\w+"
    r"|(?:llm|fleetwatch|host|system|process_group|process_top|container|hw|prometheus|alertmanager|bill|ai_service|serving|agent|topology|spot|k8s|aws_api)_\w+(?![\w(]))"
)


def names_in_text(text: str) -> set[str]:
    """Metric names in the code of a Markdown text; `name_*` stands for several and is left out."""
    code = " ".join(inline or block for inline, block in CODE.findall(text))
    return {name for name in OURS.findall(code) if f"{name}*" not in code}


@pytest.mark.parametrize(
    "file", sorted((PROJECT / "prometheus" / "runbooks").glob("*.md")), ids=lambda file: str(file.stem)
)
def test_a_runbook_asks_only_for_names_that_exist(file: Path) -> None:
    labels = frozenset[str]().union(*series().values())
    assert names_in_text(file.read_text(encoding="utf-8")) - set(series()) - labels == set()


def test_a_wrong_name_in_a_runbook_is_found() -> None:
    text = (
        "Look at `llm_wrong_total`.\n\n    sum(rate(fleetwatch_wrong[5m])) / llm:wrong:ratio\n\nllm_prose is no code.\n"
    )
    assert names_in_text(text) == {"llm_wrong_total", "fleetwatch_wrong", "llm:wrong:ratio"}


def test_the_labels_of_a_recorded_series_are_those_of_its_rule() -> None:
    assert series()["llm:cost_usd_by_agent:usual1h"] == {"agent", "team"}
    assert series()["llm:request_duration_seconds:p95_15m"] == {"provider", "model", "operation"}
    assert series()["llm:requests:increase1h"] == frozenset()


@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        ("llm_request_total", "no such metric: llm_request_total"),
        ("llm_request_duration_seconds", "no such metric: llm_request_duration_seconds"),
        ("rate(llm_requests_total{user='x'}[5m])", "no label user on llm_requests_total"),
        ("sum by (user) (llm_requests_total)", "no label user on sum"),
        ("sum without (user) (llm_requests_total)", "no label user on sum"),
        ("sum by (agent) (sum by (team) (llm_requests_total))", "no label agent on sum (team)"),
        ("histogram_quantile(0.9, rate(llm_requests_total[5m]))", "no label le on histogram_quantile"),
        ("llm_requests_total / on (user) llm_requests_total", "no label user on /"),
        ("llm_budget_usd * on (budget) group_left (team) llm_budget_spent_usd", "no label team on the one side"),
        ("sum(llm_budget_spent_usd) / llm_budget_usd", "/ never matches"),
        ("llm_budget_usd > scalar(llm:threshold:nothing)", "no such metric: llm:threshold:nothing"),
        ("max_over_time(llm_budgets_usd[1h:5m])", "no such metric: llm_budgets_usd"),
        ("sum(llm_budget_usd", "not PromQL"),
    ],
)
def test_a_wrong_name_is_found(expr: str, problem: str) -> None:
    assert problem in "\n".join(check(expr, series()).problems)


def test_rules_that_record_each_other_are_found(tmp_path: Path) -> None:
    (tmp_path / "llm.yml").write_text(
        "groups: [{name: g, rules: [{record: 'llm:a:x', expr: 'llm:b:x'}, {record: 'llm:b:x', expr: 'llm:a:x'}]}]"
    )
    with pytest.raises(ValueError, match="circle"):
        known_series([tmp_path / "llm.yml"])
