"""What people read in Slack and PagerDuty, rendered by the real Alertmanager of every version that is here.

The texts are in tests/golden/alertmanager, the same for all versions; `pytest --update-golden` rewrites them.
"""

from __future__ import annotations

import datetime
import json
import re
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import free_port, wait_for
from support_alertmanager import (
    CONFIG,
    ROUTING_KEY,
    Alertmanager,
    Message,
    NotificationSink,
    Program,
    alert,
    programs,
    running_alertmanager,
)

pytestmark = pytest.mark.stack

VERSIONS = [pytest.param(p, id=p.version) for p in programs()] or [pytest.param(None, id="alertmanager")]


@pytest.fixture(params=VERSIONS, scope="module")
def program(request: pytest.FixtureRequest) -> Program:
    found: Program | None = request.param
    if found is None:
        pytest.skip("alertmanager is not on this machine")
    if problem := found.problem():
        pytest.skip(problem)
    return found


@pytest.fixture
def sink() -> Iterator[NotificationSink]:
    with NotificationSink() as sink:
        yield sink


def quick(config: dict[str, Any]) -> None:
    """Tests wait for what comes second in a second, not in minutes."""
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    for route in config["route"]["routes"]:
        if route["receiver"] == "page":
            route["group_interval"] = "1s"


def failing_model(model: str, owner: str = "platform") -> dict[str, Any]:
    """The shipped alert LlmErrorRatioHigh, its texts as Prometheus fills them in."""
    return alert(
        "LlmErrorRatioHigh",
        annotations={
            "summary": f"Calls to {model} of openai fail",
            "description": f"12.5% of the calls to {model} of openai failed or timed out in the past 10 minutes.",
            "runbook_url": "http://127.0.0.1:9464/runbooks/LlmErrorRatioHigh",
            "dashboard_url": "http://127.0.0.1:3000/d/fw-models?var-provider=openai"
            f"&var-model={urllib.parse.quote_plus(model, errors='replace')}&from=now-3h&to=now",
        },
        severity="page",
        domain="llm",
        provider="openai",
        model=model,
        owner=owner,
    )


def ended(one: dict[str, Any]) -> dict[str, Any]:
    """The same alert as Prometheus sends it when it is over."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    return {"labels": one["labels"], "annotations": one["annotations"], "endsAt": now}


def stranger(case: str, **texts: str) -> dict[str, Any]:
    """An alert of somebody else's rules."""
    return alert("Stranger", annotations=texts, severity="page", owner=case, instance="10.0.0.7:9100")


# Each value goes into a label, the summary and the description, as a model's name that a sender made up would.
HOSTILE = {
    "mention-channel": "<!channel> wake up",
    "mention-everyone": "<!everyone|hello>",
    "mention-user": "<@U0123456>",
    "mention-group": "<!subteam^S0123456|oncall>",
    "link": "<https://evil.example/login|Runbook>",
    "link-mail": "<mailto:you@evil.example|support>",
    "date": "<!date^1392734382^{date}^https://evil.example|today>",
    "bare-link": "https://evil.example/?a=1&b=2",
    "entities": "&lt;!channel&gt; &amp;lt;!here&amp;gt; &#60;!here&#62;",
    "code": "a `b` c",
    "fence": "``` \n<!here>\n```",
    "formatting": "*bold* _italic_ ~strike~ __init__ snake_case 2*3*4",
    "quote": ">>> quoted\n> again",
    "newlines": "first\nsecond\r\nthird\u2028fourth",
    "control": "bell\x07 nul\x00 ansi\x1b[31mred",
    "direction": "abc\u202edcba\u2066 \u200bzero\ufeffwidth",
    "quotes": '"a" \'b\' \\ \\" {{ .Labels }} %s $1 ${1}',
    "yaml": '"]: {a: &b [*b], <<: x} # "\n- !!binary x',
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "surrogate": "bad \ud800 unicode 模型 🔥",
    "long-word": "x" * 20_000,
    "long-escapes": "<&>" * 5_000,
}

CASES: dict[str, list[dict[str, Any]]] = {
    "1-alert": [failing_model("gpt-4o", owner="1-alert")],
    "10-alerts": [failing_model(f"model-{n}", owner="10-alerts") for n in range(10)],
    "200-alerts": [failing_model(f"model-{n:03}", owner="200-alerts") for n in range(200)],
    "resolved": [failing_model("gpt-4o", owner="resolved")],
    "all-resolved": [failing_model(f"model-{n}", owner="all-resolved") for n in range(5)],
    "mixed": [failing_model(f"model-{n}", owner="mixed") for n in range(8)],
    "same-texts": [
        alert(
            "LedgerBehind",
            annotations={"summary": "The ledger lags", "description": "9 records wait."},
            severity="page",
            owner="same-texts",
            part=part,
        )
        for part in ("commit", "checkpoint")
    ],
    "no-annotations": [stranger("no-annotations")],
    "no-description": [stranger("no-description", summary="Disk is full")],
    "no-summary": [stranger("no-summary", description="97 % of the disk is used.")],
    "no-name": [alert(None, severity="page", owner="no-name", instance="10.0.0.7:9100")],
    "bad-addresses": [
        stranger(
            "bad-addresses", summary="Odd links", dashboard_url="javascript:alert(1)", runbook_url="https://evil|x>"
        )
    ],
    "worse-addresses": [
        stranger(
            "worse-addresses",
            summary="Odder links",
            dashboard_url="https://good.example@evil.example/",
            runbook_url="http://h/" + "a" * 5_000,
        )
    ],
    "long-many": [
        alert(
            "<&>" * 500,
            annotations={name: "<&>" * 2_000 + str(n) for name in ("summary", "description")}
            | {"dashboard_url": f"http://h/{'&' * 30}{n}", "runbook_url": f"http://h/{'&' * 30}"},
            severity="page",
            owner="long-many",
            model="<&>" * 400 + str(n),
            zone="<&>" * 3_000,
        )
        for n in range(9)
    ],
    "hostile-owner": [stranger("hostile-owner <!channel> `x`", summary="x")],
}
CASES |= {f"hostile-{name}": [failing_model(value, owner=f"hostile-{name}.")] for name, value in HOSTILE.items()}


class Sent(NamedTuple):
    slack: list[Message]
    pagerduty: list[Message]


def of_case(case: str, messages: list[Message]) -> list[Message]:
    word = re.compile(rf"(owner |\"group\": \"){re.escape(case)}(?![a-z0-9-])")
    return [message for message in messages if word.search(json.dumps(message, ensure_ascii=False))]


@pytest.fixture(scope="module")
def sent(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    """All cases through one Alertmanager, each a group of its own; some end afterwards, in whole or in part."""
    with (
        NotificationSink() as sink,
        running_alertmanager(program, tmp_path_factory.mktemp("notifications"), sink, quick) as alertmanager,
    ):
        for alerts in CASES.values():
            alertmanager.post(alerts)

        def arrived(count: dict[str, int]) -> bool:
            return bool(sink.rejected) or all(
                len(of_case(c, s)) >= n for c, n in count.items() for s in (sink.slack, sink.pagerduty)
            )

        wait_for(lambda: arrived(dict.fromkeys(CASES, 1)), 30, "a message of every case")
        over = {"resolved": 1, "all-resolved": 5, "mixed": 4}
        for case, number in over.items():
            alertmanager.post([ended(one) for one in CASES[case][:number]])
        wait_for(lambda: arrived(dict.fromkeys(over, 2)), 30, "the messages of alerts that ended")
        assert sink.rejected == []
        yield Sent(list(sink.slack), list(sink.pagerduty))


def steady(text: str) -> str:
    """Without what differs from run to run: times and durations."""
    text = re.sub(r"!date\^\d+\^", "!date^UNIX_TIME^", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "2026-01-05 03:12 UTC", text)
    return re.sub(r"after \d+(\.\d+)?s ·", "after 12m3s ·", text)


@pytest.mark.parametrize("case", CASES)
def test_a_message_reads_as_its_golden_says(case: str, sent: Sent, golden: Callable[[str, str], None]) -> None:
    slack, pagerduty = of_case(case, sent.slack)[-1], of_case(case, sent.pagerduty)[-1]
    text = json.dumps({"slack": slack, "pagerduty": pagerduty}, indent=2, ensure_ascii=False)
    golden(f"alertmanager/{case}.json", steady(text) + "\n")


def test_two_hundred_alerts_of_one_evaluation_are_one_message(sent: Sent) -> None:
    (message,) = of_case("200-alerts", sent.slack)
    assert message["attachments"][0]["title"] == "[PAGE] Calls to model-000 of openai fail and 199 more"


def test_an_end_is_told_to_pagerduty_under_the_key_of_the_beginning(sent: Sent) -> None:
    first, last = of_case("resolved", sent.pagerduty)
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"]


def test_usual_messages_are_short_enough_not_to_be_folded(sent: Sent) -> None:
    """Slack folds an attachment at 700 characters or 5 line breaks; what stays visible must hold the links."""
    for case in ("1-alert", "resolved"):
        assert len(of_case(case, sent.slack)[-1]["attachments"][0]["text"]) < 700
    for case in ("1-alert", "resolved", "10-alerts", "200-alerts", "mixed"):
        visible = of_case(case, sent.slack)[-1]["attachments"][0]["text"].split("\n")[:5]
        assert "Runbook>" in "\n".join(visible)


def test_a_slack_outage_delays_a_page_and_loses_nothing(
    program: Program, sink: NotificationSink, tmp_path: Path
) -> None:
    """The alert is over before Slack is back; PagerDuty does not wait for Slack. Waiting times as shipped."""
    sink.refuse("slack")
    with running_alertmanager(program, tmp_path, sink) as alertmanager:
        alertmanager.post([failing_model("gpt-4o")])
        wait_for(lambda: sink.turned_away["slack"] >= 2, 20, "Alertmanager to try Slack twice")
        assert [event["event_action"] for event in sink.pagerduty] == ["trigger"]
        alertmanager.post([ended(failing_model("gpt-4o"))])
        assert sink.slack == []
        sink.recover("slack")
        wait_for(lambda: sink.slack, 30, "the late message")
    assert [message["attachments"][0]["title"] for message in sink.slack] == ["[PAGE] Calls to gpt-4o of openai fail"]


def test_a_hanging_slack_does_not_hold_up_pagerduty(program: Program, sink: NotificationSink, tmp_path: Path) -> None:
    sink.hang("slack")
    with running_alertmanager(program, tmp_path, sink) as alertmanager:
        alertmanager.post([failing_model("gpt-4o")])
        wait_for(lambda: sink.pagerduty, 10, "PagerDuty's event")
        assert sink.slack == []
        sink.recover("slack")
        wait_for(lambda: sink.slack, 30, "Slack's message")
    assert len(sink.slack) == len(sink.pagerduty) == 1


def muted(alertmanager: Alertmanager) -> set[tuple[str, str]]:
    """Names and budgets, models or hosts of alerts that wait behind another."""
    found = json.loads(alertmanager.get("/api/v2/alerts"))
    waiting = [a["labels"] for a in found if a["status"]["inhibitedBy"]]
    about = ("budget", "model", "host_name")
    return {(labels["alertname"], next((labels[key] for key in about if key in labels), "")) for labels in waiting}


def test_a_ticket_waits_while_a_page_says_the_same(program: Program, sink: NotificationSink, tmp_path: Path) -> None:
    def ticket(name: str, **labels: str) -> dict[str, Any]:
        one = alert(name, severity="ticket", domain="llm", owner="platform")
        return one | {"labels": one["labels"] | labels}

    with running_alertmanager(program, tmp_path, sink, quick) as alertmanager:
        alertmanager.post(
            [
                alert("LlmBudgetBurnsFast", severity="page", domain="llm", owner="platform", budget="a"),
                failing_model("gpt-4o"),
            ]
        )
        wait_for(lambda: len(sink.slack) == 2, what="the pages")
        alertmanager.post(
            [
                *(ticket(name, budget=b) for name in ("LlmBudgetBurnsSlow", "LlmBudgetForecastOver") for b in "ab"),
                *(ticket("LlmLatencyHigh", provider="openai", model=m, operation="chat") for m in ("gpt-4o", "gpt-5")),
                ticket("LlmNoData"),
            ]
        )
        wait_for(lambda: len(sink.slack) == 6, what="the tickets that no page covers")
        assert muted(alertmanager) == {
            ("LlmBudgetBurnsSlow", "a"),
            ("LlmBudgetForecastOver", "a"),
            ("LlmLatencyHigh", "gpt-4o"),
        }
        alertmanager.post([alert("ExporterDown", severity="page", domain="exporter", owner="platform", instance="x:1")])
        assert ("LlmNoData", "") in wait_for(
            lambda: muted(alertmanager) & {("LlmNoData", "")}, what="LlmNoData to wait"
        )


def of_host(name: str, host: str, severity: str = "ticket", **labels: str) -> dict[str, Any]:
    made = alert(name, severity=severity, domain="hosts", owner="platform", host_name=host)
    made["labels"] |= labels
    return made


def test_a_host_that_is_taken_away_or_missing_is_not_told_about_in_parts(
    program: Program, sink: NotificationSink, tmp_path: Path
) -> None:
    """Other hosts are; and data that is lost is told of wherever it is lost."""
    with running_alertmanager(program, tmp_path, sink, quick) as alertmanager:
        alertmanager.post(
            [
                of_host("HostSpotNotice", "spot-1", "info", action="terminate"),
                of_host("HostMissing", "web-1"),
                of_host("ContainerOomKill", "web-2"),
                *(of_host("HostCpuSaturated", host) for host in ("spot-1", "web-1", "web-2")),
                *(of_host("HostOomKill", host) for host in ("web-2", "web-3")),
                *(of_host("SpoolDropping", host, "page", reason="spool_full") for host in ("spot-1", "web-1")),
            ]
        )
        gone = {("HostCpuSaturated", "spot-1"), ("HostCpuSaturated", "web-1"), ("HostOomKill", "web-2")}
        wait_for(lambda: muted(alertmanager) == gone, what="the alerts that wait")
        wait_for(lambda: sink.pagerduty, what="the page")
        alertmanager.post([of_host("HostsMissingMany", "", "page")])
        wait_for(lambda: ("HostMissing", "web-1") in muted(alertmanager), what="HostMissing to wait")


def with_deadman(program: Program, url_file: Path) -> Any:
    """The entry that the comment in alertmanager.yml gives for this version."""
    old = program.version.startswith("0.25.")
    entry = {"api_url_file" if old else "url_file": str(url_file), "send_resolved": False}

    def change(config: dict[str, Any]) -> None:
        quick(config)
        deadman = next(receiver for receiver in config["receivers"] if receiver["name"] == "deadman")
        deadman["slack_configs" if old else "webhook_configs"] = [entry]
        route = next(route for route in config["route"]["routes"] if route["receiver"] == "deadman")
        route |= {"group_interval": "1s", "repeat_interval": "1s"}

    return change


def test_the_watchdog_is_told_again_and_again_and_its_end_is_not(
    program: Program, sink: NotificationSink, tmp_path: Path
) -> None:
    change = with_deadman(program, tmp_path / "alertmanager" / "secrets" / "deadman_url")
    with running_alertmanager(program, tmp_path, sink, change) as alertmanager:
        alertmanager.post([alert("Watchdog", severity="info", domain="exporter")])
        wait_for(lambda: len(sink.deadman) >= 3, 20, "three signs of life")
        alertmanager.post([ended(alert("Watchdog", severity="info", domain="exporter"))])
        wait_for(lambda: alertmanager.get("/api/v2/alerts").strip() == "[]", what="the end of the Watchdog")
        signs = len(sink.deadman)
        alertmanager.post([failing_model("gpt-4o")])
        wait_for(lambda: sink.slack, what="a later page")
        assert len(sink.deadman) <= signs + 1  # one may have been on its way


def test_no_secret_shows_in_status_metrics_or_log(program: Program, sink: NotificationSink, tmp_path: Path) -> None:
    """Not even when sending fails, which is when programs like to print addresses."""
    secrets = tmp_path / "alertmanager" / "secrets"
    with running_alertmanager(program, tmp_path, sink, with_deadman(program, secrets / "deadman_url")) as alertmanager:
        for name in ("slack_url", "deadman_url"):
            (secrets / name).write_text(f"http://127.0.0.1:{free_port()}/services/canary-{name}")
        sink.refuse("pagerduty")
        alertmanager.post([failing_model("gpt-4o"), alert("Watchdog", severity="info")])
        wait_for(lambda: sink.turned_away["pagerduty"], what="a failed PagerDuty event")
        failures = 'alertmanager_notification_requests_failed_total{integration="slack"} 0'
        wait_for(lambda: failures not in re.sub(r',reason="\w+"', "", alertmanager.get("/metrics")), 20, "a failure")
        status = alertmanager.get("/api/v2/status")
        assert "secrets/slack_url" in status
        seen = status + alertmanager.get("/metrics") + alertmanager.get("/api/v2/receivers")
    seen += alertmanager.log.read_text(errors="replace")
    assert [word for word in ("canary", ROUTING_KEY) if word in seen] == []


def test_without_secrets_alertmanager_runs_and_is_quiet(
    program: Program, sink: NotificationSink, tmp_path: Path
) -> None:
    """What `up` writes when neither Slack nor PagerDuty is set: receivers without entries."""

    def change(config: dict[str, Any]) -> None:
        quick(config)
        for receiver in config["receivers"]:
            receiver.pop("slack_configs", None)
            receiver.pop("pagerduty_configs", None)

    with running_alertmanager(program, tmp_path, sink, change) as alertmanager:
        alertmanager.post([failing_model("gpt-4o")])
        wait_for(lambda: "gpt-4o" in alertmanager.get("/api/v2/alerts"), what="the alert")
        groups = wait_for(lambda: json.loads(alertmanager.get("/api/v2/alerts/groups")), what="its group")
        assert [group["receiver"]["name"] for group in groups] == ["page"]
    log = alertmanager.log.read_text(errors="replace").lower()
    assert [level for level in ("level=error", "level=warn") if level in log] == []
    assert sink.slack == []


def test_the_shipped_files_work_as_they_are(program: Program, sink: NotificationSink, tmp_path: Path) -> None:
    """Unchanged, started in their folder with a secret beside them. An old alert need not wait for its group."""
    folder = tmp_path / "alertmanager"
    shutil.copytree(CONFIG, folder)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "slack_url").write_text(sink.slack_url)
    with running_alertmanager(program, tmp_path, sink, config=folder / "alertmanager.yml") as alertmanager:
        old = {"startsAt": "2026-01-05T03:12:00Z"}
        alertmanager.post([alert("Odd", severity="ticket", annotations={"summary": "Disk is full"}) | old])
        message = wait_for(lambda: sink.slack, what="the ticket")[0]
    assert message["attachments"][0]["title"] == "[TICKET] Disk is full"
    assert message["attachments"][0]["color"] == "warning"
