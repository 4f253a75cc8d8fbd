"""docker-compose.yml for real: what docker-compose makes of it, and the whole stack on a Docker engine."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.places import PROJECT
from support import wait_for
from support_compose import SERVICES, Project, Stack, compose, require_engine
from support_grafana import ask, call
from support_house import nano
from support_stack import get
from support_up import Up

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]  # the first build of the images takes minutes

CALLS = 200
BUDGET = "all of it"
# What a healthy replay has none of.
MAY_BE_EMPTY = {"Models without a price", "Duplicates left out"}


def test_docker_compose_publishes_on_loopback_only() -> None:
    resolved: dict[str, Any] = json.loads(Project().run("config", "--format", "json"))
    published = {
        (name, port["target"], port["host_ip"])
        for name, service in resolved["services"].items()
        for port in service.get("ports", [])
    }
    assert {name for name, _, _ in published} == SERVICES - {"fleetwatch-host"}
    assert {host for _, _, host in published} == {"127.0.0.1"}


def test_plain_docker_compose_needs_no_options() -> None:
    """As somebody does who has read nothing: `docker-compose config` in the folder."""
    done = subprocess.run([*compose(), "config", "-q"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Up, after a replay of CALLS calls through the gateway, half of them over each transport."""
    require_engine()
    folder = tmp_path_factory.mktemp("compose")
    stack = Stack(folder, {"budgets": [{"name": BUDGET, "limit_usd": "0.01"}]})
    try:
        stack.up("--build")
        sender = Up(folder / "data")
        for protocol, port in (("http", "OTLP_HTTP"), ("grpc", "OTLP_GRPC")):
            options = ("--protocol", protocol, "--speed", "1000", "--limit", str(CALLS // 2))
            done = sender.run("replay", "--endpoint", stack.url(port), *options)
            assert done.returncode == 0, done.stderr
        yield stack
    finally:
        stack.run("down", "--volumes", "--timeout", "5")


def in_prometheus(stack: Stack, expression: str, at: float | None = None) -> bool:
    """Whether the expression has a value there."""
    query = urllib.parse.urlencode({"query": expression, **({} if at is None else {"time": at})})
    return bool(json.loads(get(f"{stack.url('PROMETHEUS')}/api/v1/query?{query}")[1])["data"]["result"])


def test_the_stack_comes_up_whole_and_counts_a_replay(stack: Stack) -> None:
    assert stack.states() == {**dict.fromkeys(SERVICES, "healthy"), "config": "exited 0"}
    wait_for(lambda: stack.samples("llm_requests_total") == CALLS, 60, f"{CALLS} requests in the exporter")
    arrived = f"sum(llm_requests_total) == {CALLS} unless on() (up == 0)"
    wait_for(lambda: in_prometheus(stack, arrived), 60, f"{CALLS} requests in Prometheus, no target down")


def test_this_machine_is_reported_and_not_a_container(stack: Stack) -> None:
    """By the sidecar, through the gateway and the exporter."""
    name = Path("/etc/hostname").read_text().strip()
    alive = f'host_state{{host_name="{name}",state="reporting"}} == 1'
    wait_for(lambda: in_prometheus(stack, alive), 60, "this machine among the reporting hosts")
    booted = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if "btime" in line)
    uptime = f'abs(time() - system_uptime_seconds{{host_name="{name}"}} - {booted}) < 60'
    wait_for(lambda: in_prometheus(stack, uptime), 60, "the uptime of this machine")


def test_the_boards_show_the_replay(stack: Stack) -> None:
    """Each query of the first board, as its panel asks, through the provisioned data source."""
    admin = stack.admin()
    board = call(stack.url("GRAFANA"), "/api/dashboards/uid/fw-llm", headers=admin)["dashboard"]
    waiting = {panel["title"]: panel for panel in board["panels"] if panel.get("targets")}
    assert waiting.keys() > MAY_BE_EMPTY

    def all_filled() -> bool:
        for title, panel in list(waiting.items()):
            if all(ask(stack.url("GRAFANA"), panel, 600, admin).values()):
                del waiting[title]
        return waiting.keys() <= MAY_BE_EMPTY

    wait_for(all_filled, 60, "data in all panels", interval=1)


def test_grafana_lets_nobody_in_without_the_password_that_was_made_for_it(stack: Stack) -> None:
    for headers in ({}, stack.admin("admin")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            call(stack.url("GRAFANA"), "/api/search", headers=headers)
        with refused.value as answer:
            assert answer.code == 401


def test_a_broken_budget_reaches_slack_and_the_watchdog_its_receiver(stack: Stack) -> None:
    """With the rules and routes as shipped: the budget must be used up for a minute first."""
    with stack.outside() as sink:
        wait_for(lambda: sink.deadman, 90, "the Watchdog")
        wait_for(lambda: sink.slack, 120, "a message in Slack")
        (attachment,) = sink.slack[0]["attachments"]
    assert attachment["title"] == f"[PAGE] LLM budget {BUDGET} is used up"
    assert attachment["title_link"].startswith(f"{stack.url('GRAFANA')}/d/fw-llm?var-budget=all+of+it")
    assert "USD of 0.01 USD" in attachment["text"]
    runbook = f"{stack.url('EXPORTER')}/runbooks/LlmBudgetExhausted"
    assert f"<{runbook}|Runbook>" in attachment["text"]
    assert get(runbook)[0] == 200
    assert not sink.rejected


def test_down_and_up_again_loses_nothing(stack: Stack) -> None:
    before = time.time()
    spent = nano(stack.samples("llm_cost_usd_total"))
    assert spent > 0
    admin = stack.admin()
    stack.run("down")
    stack.up()
    assert set(stack.states().values()) == {"healthy", "exited 0"}
    wait_for(lambda: stack.samples("llm_requests_total") == CALLS, 60, f"the {CALLS} requests of before")
    assert nano(stack.samples("llm_cost_usd_total")) == spent
    arrived = f"sum(llm_requests_total) == {CALLS}"
    wait_for(lambda: in_prometheus(stack, arrived, before), 30, "the samples of before in Prometheus")
    assert call(stack.url("GRAFANA"), "/api/search", headers=admin)
