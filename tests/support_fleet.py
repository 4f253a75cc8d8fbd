"""A fleet on loopback in which everything has happened, and what a board's queries find there.

Nothing is made up but what the hosts report (see support_fleet_hosts): no machine has all that a board can show. A
second exporter asks a cloud on loopback about machines, storage and a cluster (see support_fleet_spot).

A replay of a real trace went to a real exporter, which a real Prometheus scrapes beside itself and a real Alertmanager,
with the rules as shipped. And what goes wrong in a fleet went wrong: calls came twice, an item made no sense, there
were more agents than a label may have, another program held the ledger, a budget was overspent, a page went out.

with running_fleet("3.", tmp_path) as fleet:
    assert empty(fleet.prometheus, load("llm")) == []
"""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from support import free_port, wait_for
from support_alertmanager import Alertmanager, NotificationSink, alert, newest, running_alertmanager
from support_alerts import ALERTS, RULES
from support_boards import Json, queries
from support_fleet_agents import NAMES, DemoAgents, demo_agents, earlier_days
from support_fleet_aws import ai_services_in_use
from support_fleet_bills import EARLIER, billing_providers
from support_fleet_hosts import SETTINGS as ROSTER
from support_fleet_hosts import reporting_hosts
from support_fleet_pipelines import nightly_runs, past_runs
from support_fleet_serving import model_servers
from support_fleet_spot import spot_in_use
from support_grafana import concrete
from support_house import House, Replay
from support_otlp import span, traces_of
from support_prometheus import Prometheus, prometheus_program, running_prometheus
from support_sdk import Answer, chat, post_calls
from support_stack import post

CALLS = 600
RANGE = 900
"""Seconds that the boards look back: more than the test lasts."""
OVERSPENT = 0.01
SETTINGS: dict[str, Any] = {
    "budgets": [{"name": "overspent", "limit_usd": str(OVERSPENT)}, {"name": "lasts", "limit_usd": "1000000"}],
    # The demo's agents come first and have room; of the replay's, some have not.
    "labels": {"limits": {"agent": len(NAMES) + 3}},
    **ROSTER,
}


class Fleet(NamedTuple):
    """truth: what the replay says that it sent; agents: those of the demo, which go on."""

    house: House
    prometheus: Prometheus
    truth: dict[str, Any]
    agents: DemoAgents


@contextlib.contextmanager
def running_fleet(generation: str, folder: Path) -> Iterator[Fleet]:
    """Until the block ends. generation: how Prometheus' version begins; skips the test by name without a program."""
    program = prometheus_program(generation)
    with (
        billing_providers(folder / "exporter") as bills,
        ai_services_in_use(folder / "exporter") as aws,
        model_servers() as servers,
        past_runs(folder / "exporter") as pipelines,
        spot_in_use(folder / "cloud") as cloud,
        NotificationSink() as sink,
        running_alertmanager(newest(), folder / "alertmanager", sink) as alertmanager,
        House(
            folder / "exporter",
            _together(SETTINGS, bills, aws, servers, pipelines, {"alerting": {"alertmanager": alertmanager.url}}),
        ) as house,
        _scraping(program, folder / "prometheus", house, alertmanager, cloud.house) as prometheus,
        reporting_hosts(house.http),
        contextlib.ExitStack() as stack,
    ):
        # What happens before the first scrape is no growth.
        wait_for(lambda: prometheus.value("sum(up)") == 4, 20, "the four targets")
        cloud.happen()
        stack.enter_context(nightly_runs(house.http, folder / "nightly"))
        agents = stack.enter_context(demo_agents(house.http, folder / "agents"))
        names = "|".join(sorted(NAMES))
        # Who calls no model before the replay does would find the label's places taken.
        called = f'count(count by (agent) (llm_requests_total{{agent=~"{names}"}})) == {len(NAMES)}'
        wait_for(lambda: prometheus.query(called), 90, "calls of all the demo's agents", 0.5)
        _hold_the_ledger(house)
        _send_nonsense(house)
        alertmanager.post([_page()])
        truth = _replay_twice(house, folder)
        others = f'agent!~"{names}"'
        arrived = (
            f"sum(llm_requests_total{{{others}}}) == {EARLIER + CALLS} and sum(llm_duplicate_calls_total) == {CALLS}"
        )
        wait_for(lambda: prometheus.query(arrived), 30, "all calls in Prometheus", 0.2)
        wait_for(lambda: sink.pagerduty, 20, "the page")
        _acknowledge(house, alertmanager)
        yield Fleet(house, prometheus, truth, agents)


def _together(*parts: dict[str, Any]) -> dict[str, Any]:
    """Settings of which several parts may have a say in one section."""
    whole: dict[str, Any] = {}
    for name, section in (item for part in parts for item in part.items()):
        whole[name] = {**whole.get(name, {}), **section} if isinstance(section, dict) else section
    return whole


@contextlib.contextmanager
def _scraping(
    program: str, folder: Path, house: House, alertmanager: Alertmanager, cloud: House
) -> Iterator[Prometheus]:
    """A Prometheus with the shipped rules, and the job names of the shipped configuration. cloud: another exporter,
    which asks about machines.
    """
    earlier_days(program, folder / "data")
    port, alerts_to = free_port(), alertmanager.url.removeprefix("http://")
    targets = {
        "fleetwatch": house.web,
        "cloud": cloud.web,
        "prometheus": f"127.0.0.1:{port}",
        "alertmanager": alerts_to,
    }
    rules = [_quick(file, folder / file.parent.name) for file in (*RULES, *ALERTS)]
    with running_prometheus(program, folder, targets, rules=rules, alertmanager=alerts_to, port=port) as prometheus:
        yield prometheus


def _quick(file: Path, folder: Path) -> Path:
    """A copy of a rule file whose groups are looked at every five seconds: nobody waits for a minute here."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / file.name
    copy.write_text(re.sub(r"^(    interval:) .*$", r"\1 5s", file.read_text(encoding="utf-8"), flags=re.MULTILINE))
    return copy


def _hold_the_ledger(house: House) -> None:
    """Another program writes into it: the commit gives up, and the sender is told to come again."""
    with contextlib.closing(sqlite3.connect(house.ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert post_calls(house.http) == Answer(503, "1")


def _send_nonsense(house: House) -> None:
    """A call with less than no tokens."""
    now = time.time_ns()
    call = span(
        chat(attributes={"gen_ai.usage.input_tokens": -1}),
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        start_time_unix_nano=now,
        end_time_unix_nano=now,
    )
    assert post(f"http://{house.http}/v1/traces", traces_of([call]).SerializeToString()) == 200


def _acknowledge(house: House, alertmanager: Alertmanager) -> None:
    """A failed phase fires for as long as anybody looks, and somebody has taken it on."""
    failed = alert(
        "PhaseFailed", severity="ticket", domain="pipelines", owner="fleet", pipeline="taken-on", phase="P01"
    )
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    alertmanager.post([{**failed, "endsAt": later.isoformat()}])
    wait_for(lambda: "taken-on" in alertmanager.get("/api/v2/alerts"), 10, "the alert")
    wanted = ("PhaseFailed", "--label", "pipeline=taken-on")
    taken = house.run("alerts", "ack", *wanted, "--why", "for the board", "--who", "somebody")
    assert taken.returncode == 0, taken.stderr


def _page() -> dict[str, Any]:
    return alert(
        "LedgerFailing",
        annotations={
            "summary": "The ledger cannot be written",
            "description": "3 commits failed in the past 5 minutes.",
            "runbook_url": "http://127.0.0.1:9464/runbooks/LedgerFailing",
            "dashboard_url": "http://127.0.0.1:3000/d/fw-exporter?from=now-6h&to=now",
        },
        severity="page",
        domain="exporter",
        owner="platform",
    )


def _replay_twice(house: House, folder: Path) -> dict[str, Any]:
    """The second time, all calls are duplicates."""
    for turn in ("first", "again"):
        with Replay(folder / turn, house.http, "boards", "--limit", str(CALLS), "--speed", "1000") as replay:
            truth = replay.finish()
    return truth


def numbers(prometheus: Prometheus, target: Json) -> list[float]:
    """What the query of a panel finds, over all series and times; nothing that is no number or has no end."""
    expr = concrete(target["expr"], RANGE)
    if target["instant"]:
        samples = [item["value"] for item in prometheus.api("query", query=expr)["result"]]
    else:
        now = time.time()
        times = {"start": f"{now - RANGE:.3f}", "end": f"{now:.3f}", "step": "5"}
        found = prometheus.api("query_range", query=expr, **times)["result"]
        samples = [sample for item in found for sample in item["values"]]
    return [value for _, text in samples if math.isfinite(value := float(text))]


def empty(prometheus: Prometheus, board: Json) -> list[str]:
    """The queries that find no number."""
    return [
        f"{panel['title']}: query {target['refId']}"
        for panel, target in queries(board)
        if not numbers(prometheus, target)
    ]


def wait_until_filled(prometheus: Prometheus, board: Json) -> None:
    """Until every query of the board finds a number."""

    def filled() -> bool:
        found = empty(prometheus, board)
        assert not found, found
        return True

    wait_for(filled, 80, f"data on board {board['uid']}", interval=1)
