"""Every board in a real Grafana over a real fleet: each panel draws what its queries find."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import wait_for
from support_boards import STEMS, load
from support_fleet import running_fleet, wait_until_filled
from support_fleet_hosts import ALL_THERE
from support_fleet_pipelines import NIGHTLY, open_slot, priced_slots
from support_grafana import ADMIN, call, screenshot, start_grafana
from support_prometheus import Prometheus

pytestmark = pytest.mark.browser

# Where a click on a value leads: how the address begins and ends.
LEADS_TO = {
    "ai-services": [("http://127.0.0.1:9464/runbooks/", "/AiServiceUnhealthy")],
    "agent": [
        ("http://127.0.0.1:9464/runbooks/", "/AgentStuck"),
        ("/d/fw-host?from=", f"&var-host_name={platform.node()}"),
    ],
    "agents": [
        ("/d/fw-agent?from=", "&var-agent=coder"),
        ("/d/fw-models?from=", "&var-provider=openai"),
        ("http://127.0.0.1:9464/runbooks/", "/AgentLooping"),
    ],
    "llm": [
        ("/d/fw-llm?from=", "&var-team=support"),
        ("/d/fw-llm?from=", "&var-agent=code-review"),
        ("/d/fw-models?from=", "&var-model=gpt-5-2025-08-07"),
        ("http://127.0.0.1:9464/runbooks/", "/LlmBudgetExhausted"),
    ],
    "models": [("/d/fw-models?from=", "&var-model=acme-coder-7b"), ("/d/fw-models?from=", "&var-provider=openai")],
    "exporter": [("http://127.0.0.1:9464/runbooks/", "/LedgerFailing")],
    "hosts": [
        ("/d/fw-host?from=", "&var-host_name=agents-2"),
        ("/d/fw-host?from=", f"&var-host_name={ALL_THERE}"),
        ("http://127.0.0.1:9464/runbooks/", "/HostMissing"),
    ],
    "serving": [
        ("/d/fw-serving?from=", "&var-model=meta-llama/Llama-3.3-70B-Instruct"),
        ("http://127.0.0.1:9464/runbooks/", "/ServingDown"),
    ],
    "topology": [("http://127.0.0.1:9464/runbooks/", "/ToolFailing")],
    "host": [("http://127.0.0.1:9464/runbooks/", "/HostCpuSaturated")],
    "bills": [("http://127.0.0.1:9464/runbooks/", "/BillDrift")],
    "pipelines": [
        ("http://127.0.0.1:9464/runbooks/", "/RunOverdue"),
        ("/d/fw-heatmap?from=", f"&var-pipeline={NIGHTLY}"),
        ("/d/fw-run?from=", ""),
    ],
    "run": [("http://127.0.0.1:9464/runbooks/", "/RunOverdue")],
    "compare": [],
    "heatmap": [("http://127.0.0.1:9464/runbooks/", "/PhaseSlower"), ("/d/fw-run?from=", "")],
    "kubernetes": [("http://127.0.0.1:9464/runbooks/", "/NodeNotDrainable")],
    "pools": [("http://127.0.0.1:9464/runbooks/", "/PoolRiskHigh")],
    "spot": [("http://127.0.0.1:9464/runbooks/", "/SavingsDown")],
    "storage": [("http://127.0.0.1:9464/runbooks/", "/WasteHigh")],
}
# What a board about one thing is opened with.
CHOICE = {
    "agent": "&var-agent=coder",
    "host": f"&var-host_name={ALL_THERE}",
    "heatmap": f"&var-pipeline={NIGHTLY}&var-phase=extract",
}


# Bars that stand alone in their panel, which Grafana leaves without a name unless it is told otherwise.
LONE_BARS = {
    "ai-services": ("throttled",),
    "exporter": ("bad_tokens", "locked"),
    "hosts": ("unknown_metric",),
    "llm": ("resent",),
}


# What is not known of a run under way.
NOT_YET = {"run": ["Not known (yet)"]}


def choice(stem: str, prometheus: Prometheus) -> str:
    """What the board is opened with."""
    if stem == "run":
        return f"&var-pipeline={NIGHTLY}&var-slot={open_slot(prometheus)}"
    if stem == "compare":
        one, two = priced_slots(prometheus)
        return f"&var-pipeline={NIGHTLY}&var-a={one}&var-b={two}"
    return CHOICE.get(stem, "")


class Stack(NamedTuple):
    grafana: str
    prometheus: Prometheus


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Grafana over a fleet in which everything has happened."""
    folder = tmp_path_factory.mktemp("boards")
    with (
        running_fleet("3.", folder / "fleet") as fleet,
        start_grafana(folder / "grafana", fleet.prometheus.url) as grafana,
    ):
        yield Stack(grafana, fleet.prometheus)


@pytest.mark.parametrize("stem", STEMS)
def test_the_board_shows_all_its_panels_filled(stack: Stack, stem: str, tmp_path: Path) -> None:
    """At 1600 pixels, in Chromium; FLEETWATCH_PICTURES names a folder that keeps the pictures."""
    folder = Path(os.environ.get("FLEETWATCH_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    wait_until_filled(stack.prometheus, load(stem))
    address = f"{stack.grafana}/d/fw-{stem}?from=now-15m&to=now&kiosk&theme=light{choice(stem, stack.prometheus)}"
    charts = [panel for panel in load(stem)["panels"] if panel.get("targets")]
    empty = {panel["fieldConfig"]["defaults"]["noValue"] for panel in charts} | {"No data"}

    def filled() -> bool:
        seen = screenshot(address, folder / f"{stem}.png")
        assert seen.errors == 0
        assert [panel["title"] for panel in charts if panel["title"] not in seen.text] == []
        assert [text for text in empty if text in seen.text] == NOT_YET.get(stem, [])
        assert [name for name in LONE_BARS.get(stem, ()) if name not in seen.text] == []
        for start, end in LEADS_TO[stem]:
            assert [link for link in seen.links if link.startswith(start) and link.endswith(end)], f"{start} … {end}"
        return True

    # Not always at once: on a busy machine a scrape comes too late, and for a moment Prometheus has no value of now.
    wait_for(filled, 60, f"board {stem} with all its panels filled", interval=1)


def test_a_host_without_gpu_and_container_says_so(stack: Stack, tmp_path: Path) -> None:
    """And does not look broken."""
    wait_until_filled(stack.prometheus, load("host"))
    seen = screenshot(f"{stack.grafana}/d/fw-host?from=now-15m&to=now&kiosk&var-host_name=agents-1", tmp_path / "x.png")
    assert seen.errors == 0
    for words in (
        "This host has no GPU",
        "Not in a container of its own",
        "Not in a container, or one without a limit",
    ):
        assert words in seen.text


def test_a_broken_query_and_an_empty_panel_are_seen(stack: Stack, tmp_path: Path) -> None:
    """The proof that the test above can fail: a board with one query that is no PromQL and one that finds nothing."""
    broken = load("llm")
    broken["uid"] = "broken"
    first, second = (panel for panel in broken["panels"][1:3])
    first["targets"][0]["expr"] = "sum(("
    second["targets"][0]["expr"] = "no_such_series"
    call(stack.grafana, "/api/dashboards/db", {"dashboard": broken}, ADMIN)
    seen = screenshot(f"{stack.grafana}/d/broken?from=now-15m&to=now&kiosk", tmp_path / "broken.png")
    assert seen.errors == 1
    assert second["fieldConfig"]["defaults"]["noValue"] in seen.text
