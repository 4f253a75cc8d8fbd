"""Recordings of coding agents, sent to a running exporter: what /metrics shows."""

from __future__ import annotations

import json
import re
import time
from decimal import Decimal
from pathlib import Path

import pytest

from support import wait_for
from support_app import RunningExporter
from support_coding_agents import Recording

GRACE = 0.2
WAITS = {"receive": {"usage_metrics_grace": GRACE, "proxy_grace": GRACE}}
_TIME = re.compile(r'"(1[78]\d{17})"')


def recent(recording: Recording, signal: str) -> list[str]:
    """The requests of a signal as JSON, moved in time to some minutes ago."""
    lines = (recording.folder / f"{signal}.jsonl").read_text(encoding="utf-8")
    first = min(int(text) for text in _TIME.findall(lines))
    # Signals of one run keep their distance: whole hours are added.
    hours = (time.time_ns() - first) // (3600 * 10**9)
    return _TIME.sub(lambda found: f'"{int(found[1]) + hours * 3600 * 10**9}"', lines).splitlines()


def series(text: str, name: str) -> dict[str, Decimal]:
    found = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(f"{name}{{"))
    return {labels.removeprefix(name): Decimal(value) for labels, value in found}


@pytest.mark.parametrize(
    ("dialect", "scenario", "signals"),
    [
        ("claude_code", "sub_agent", ("traces", "metrics", "logs")),
        ("claude_code", "plain", ("metrics",)),
        ("codex", "tool", ("metrics", "traces", "logs")),
        ("codex", "plain", ("metrics",)),
        ("gemini_cli", "retry", ("traces", "metrics", "logs")),
        ("gemini_cli", "plain", ("metrics",)),
        ("qwen_code", "sub_agent", ("logs", "metrics", "traces")),
        ("qwen_code", "plain", ("metrics",)),
    ],
)
def test_metrics_show_what_the_provider_answered(
    dialect: str, scenario: str, signals: tuple[str, ...], tmp_path: Path
) -> None:
    sent = Recording(dialect, scenario)
    expected = {
        (model, kind): count
        for model, tokens in sent.truth().items()
        for kind, count in tokens._asdict().items()
        if count and kind != "cache_write_long"
    }
    with RunningExporter(tmp_path, **WAITS) as exporter:
        for signal in signals:
            for body in recent(sent, signal):
                headers = {"content-type": "application/json"}
                address = exporter.exporter.addresses()["otlp-http"]
                answer = exporter.client.post(f"{address}/v1/{signal}", content=body, headers=headers)
                assert (answer.status_code, json.loads(answer.text)) == (200, {})

        def tokens() -> dict[tuple[str, str], int]:
            found: dict[tuple[str, str], int] = {}
            for labels, value in series(exporter.get("/metrics").text, "llm_tokens_total").items():
                model, kind = (re.findall(rf'{name}="([^"]*)"', labels)[0] for name in ("model", "kind"))
                found[model, kind] = found.get((model, kind), 0) + int(value)
            return {key: count for key, count in found.items() if count}

        wait_for(lambda: sum(tokens().values()) >= sum(expected.values()), 20, "all tokens")
        # What would count twice is decided a grace later.
        later = time.monotonic() + 5 * GRACE
        wait_for(lambda: time.monotonic() > later, 20, "the end of all waiting")
        assert tokens() == expected
        text = exporter.get("/metrics").text
    sessions = re.findall(
        r'"(?:session\.id|conversation\.id|user\.id)","value":\{"stringValue":"([^"]+)"',
        "".join(recent(sent, "metrics")),
    )
    assert not any(session in text for session in sessions)
    program = {"claude_code": "claude-code", "codex": "codex", "gemini_cli": "gemini-cli", "qwen_code": "qwen-code"}[
        dialect
    ]
    assert all(f'agent="{program}"' in labels for labels in series(text, "llm_tokens_total"))
