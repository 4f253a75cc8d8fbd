"""From spans to a message: the shipped rules in a real Prometheus, the shipped routes in a real Alertmanager.

The files are those of the repository but for waiting times, which are days of work for a test: the alert under test
waits 2 s instead of a minute and its group is evaluated every second, and Alertmanager tells the end of an alert after
2 s instead of two minutes. Expressions, thresholds, labels, texts, routes and templates are as shipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetwatch.places import PROJECT
from support import wait_for
from support_alertmanager import NotificationSink, newest, running_alertmanager
from support_disk import small_disk
from support_house import House
from support_prometheus import prometheus_program, running_prometheus
from support_sdk import chat, post_calls, send

pytestmark = pytest.mark.stack


def hurried_rules(folder: Path, alert: str) -> list[Path]:
    """Copies of the shipped rule files in which `alert` does not wait."""
    folder.mkdir()
    copies = []
    changed = 0
    for file in sorted((PROJECT / "prometheus").glob("[ar]*s/*.yml")):
        data: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in data["groups"]:
            for rule in group["rules"]:
                if rule.get("alert") == alert:
                    rule |= {"for": "2s", "keep_firing_for": "2s"}
                    group["interval"] = "1s"
                    changed += 1
        copy = folder / f"{file.parent.name}-{file.name}"
        copy.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
        copies.append(copy)
    assert changed == 1
    return copies


def hurry_alertmanager(config: dict[str, Any]) -> None:
    for route in config["route"]["routes"]:
        route["group_interval"] = "2s"


@pytest.fixture
def sink() -> Iterator[NotificationSink]:
    with NotificationSink() as server:
        yield server


def budget(usd: int) -> dict[str, Any]:
    return {"budgets": [{"name": "support team", "limit_usd": usd, "period": "month", "team": "support"}]}


def test_a_budget_breach_reaches_slack_and_pagerduty_once_and_resolves(tmp_path: Path, sink: NotificationSink) -> None:
    """Twelve dollars are spent of ten; then somebody raises the budget."""
    program, server = newest(), prometheus_program("3.")
    rules = hurried_rules(tmp_path / "rules", "LlmBudgetExhausted")
    with (
        House(tmp_path / "exporter", budget(10)) as house,
        running_alertmanager(program, tmp_path / "alertmanager", sink, hurry_alertmanager) as alertmanager,
        running_prometheus(
            server,
            tmp_path / "prometheus",
            {"fleetwatch": house.web},
            rules=rules,
            alertmanager=alertmanager.url.removeprefix("http://"),
        ) as prometheus,
    ):
        wait_for(lambda: prometheus.value("llm_budget_usd") == 10, 15, "the budget in Prometheus")
        # 1.2 million output tokens at 10 USD a million.
        expensive = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 1_200_000}
        assert send([chat(attributes=expensive)], house.http)
        wait_for(lambda: sink.slack and sink.pagerduty, 60, "a message in Slack and in PagerDuty")
        _check_slack(sink.slack[0], "[PAGE]", "danger")
        _check_pagerduty(sink.pagerduty[0], "trigger")

        house.stop()
        settings = json.loads(house.config.read_text())
        house.config.write_text(json.dumps(settings | budget(20)))
        house.start()
        wait_for(lambda: len(sink.slack) > 1 and len(sink.pagerduty) > 1, 60, "the end of it")
        _check_slack(sink.slack[1], "[RESOLVED]", "good")
        _check_pagerduty(sink.pagerduty[1], "resolve")
        assert sink.pagerduty[1]["dedup_key"] == sink.pagerduty[0]["dedup_key"]
    # Nothing else was said, and the receivers found nothing wrong with what was.
    assert len(sink.slack) == 2
    assert len(sink.pagerduty) == 2
    assert not sink.rejected


def _check_slack(message: dict[str, Any], state: str, color: str) -> None:
    (attachment,) = message["attachments"]
    assert attachment["title"] == f"{state} LLM budget support team is used up"
    assert attachment["color"] == color
    board = "http://127.0.0.1:3000/d/fw-llm?var-budget=support+team"
    assert attachment["title_link"].startswith(board)
    assert "12.00 USD of 10.00 USD" in attachment["text"] or state == "[RESOLVED]"
    assert "<http://127.0.0.1:9464/runbooks/LlmBudgetExhausted|Runbook>" in attachment["text"]


def _check_pagerduty(event: dict[str, Any], action: str) -> None:
    assert event["event_action"] == action
    if action == "trigger":
        payload = event["payload"]
        assert "LLM budget support team is used up" in payload["summary"]
        assert payload["severity"] == "critical"
        assert "12.00 USD of 10.00 USD" in json.dumps(payload["custom_details"])
        links = {link["text"]: link["href"] for link in event["links"]}
        assert links["Runbook"] == "http://127.0.0.1:9464/runbooks/LlmBudgetExhausted"
        assert links["Board"].startswith("http://127.0.0.1:3000/d/fw-llm?var-budget=support+team")


def test_a_full_disk_raises_ledger_failing(tmp_path: Path) -> None:
    server = prometheus_program("2.42")
    rules = hurried_rules(tmp_path / "rules", "LedgerFailing")
    with (
        small_disk(tmp_path / "disk", mebibytes=2) as disk,
        House(tmp_path / "exporter", data=disk.path) as house,
        running_prometheus(server, tmp_path / "prometheus", {"fleetwatch": house.web}, rules=rules) as prometheus,
    ):
        wait_for(lambda: prometheus.query("exporter:ledger_errors:increase5m"), 20, "the recorded errors")
        disk.fill()
        firing = 'ALERTS{alertname="LedgerFailing",alertstate="firing",reason="disk_full",severity="page"}'

        def refused() -> bool:
            post_calls(house.http)
            return bool(prometheus.query(firing))

        wait_for(refused, 40, "the alert", interval=0.5)
        assert house.get("/readyz")[0] == 503
