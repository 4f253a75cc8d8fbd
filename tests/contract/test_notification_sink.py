"""The judge of notification tests is judged too: what Slack and PagerDuty would refuse or act on must not pass."""

from __future__ import annotations

from typing import Any

from support_alertmanager import ROUTING_KEY, pagerduty_errors, slack_errors


def test_the_sink_refuses_what_the_services_would_refuse() -> None:
    fine = {
        "title": "t",
        "title_link": "http://h/",
        "text": "a &lt;b <http://h/|Board>",
        "fallback": "f",
        "color": "good",
    }
    event: dict[str, Any] = {
        "routing_key": ROUTING_KEY,
        "event_action": "trigger",
        "dedup_key": "k",
        "payload": {"summary": "s", "source": "x", "severity": "critical"},
    }
    assert (slack_errors({"attachments": [fine]}), pagerduty_errors(event)) == ([], [])
    for text in (
        "<!channel>",
        "<@U1>",
        "<https://evil|x|y>",
        "a < b",
        "`x`",
        "*b*",
        "a & b",
        "https://evil",
        "x" * 3000,
    ):
        assert slack_errors({"attachments": [fine | {"text": text}]}), text
    assert slack_errors({})
    for change in (
        {"routing_key": "other"},
        {"event_action": "fire"},
        {"dedup_key": ""},
        {"client_url": "javascript:1"},
    ):
        assert pagerduty_errors(event | change), change
    for payload in ({"summary": "x" * 1025}, {"severity": "page"}, {"source": ""}, {"custom_details": {"a": "<b>"}}):
        assert pagerduty_errors(event | {"payload": event["payload"] | payload}), payload
