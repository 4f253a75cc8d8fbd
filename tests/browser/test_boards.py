"""Every board in a real Grafana over a real Prometheus: each query has data, each panel draws."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import free_port, wait_for
from support_exposition import serve_exposition
from support_grafana import ADMIN, GENERATED, ask, call, screenshot, start_grafana
from support_stack import get, program, running

pytestmark = pytest.mark.browser

STEMS = sorted(path.stem for path in GENERATED.glob("*.json"))

PROMETHEUS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
rule_files: ["{rules}"]
scrape_configs:
  - {{job_name: fleetwatch, static_configs: [{{targets: ["{exporter}"]}}]}}
  - {{job_name: prometheus, static_configs: [{{targets: ["{prometheus}"]}}]}}
  - {{job_name: alertmanager, static_configs: [{{targets: ["{alertmanager}"]}}]}}
"""
# One alert that always fires, so that the queries about alerts have something to find.
RULES = """
groups:
  - name: always
    rules: [{alert: Watchdog, expr: "vector(1)", labels: {severity: info, domain: exporter}}]
"""
ALERTMANAGER = "{route: {receiver: none}, receivers: [{name: none}]}"


# Where a click on a value leads: how the address begins and ends.
LEADS_TO = {
    "llm": [
        ("/d/fw-llm?from=", "&var-team=support"),
        ("/d/fw-llm?from=", "&var-agent=code-reviewer"),
        ("/d/fw-models?from=", "&var-model=gpt-5"),
        ("http://127.0.0.1:9464/runbooks/", "/LlmBudgetExhausted"),
    ],
    "models": [("/d/fw-models?from=", "&var-model=house-llama-70b"), ("/d/fw-models?from=", "&var-provider=openai")],
    "exporter": [("http://127.0.0.1:9464/runbooks/", "/LedgerFailing")],
}


class Stack(NamedTuple):
    grafana: str
    prometheus: str


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Grafana over a Prometheus that scrapes an exporter, an Alertmanager and itself."""
    folder = tmp_path_factory.mktemp("boards")
    prometheus, alertmanager = (f"127.0.0.1:{free_port()}" for _ in range(2))
    (folder / "rules.yml").write_text(RULES)
    (folder / "alertmanager.yml").write_text(ALERTMANAGER)
    alertmanager_command = [
        program("alertmanager"),
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/alerts",
        f"--web.listen-address={alertmanager}",
        "--cluster.listen-address=",
    ]
    prometheus_command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address={prometheus}",
    ]
    with serve_exposition() as exporter, running(alertmanager_command, folder / "alertmanager.log"):
        config = PROMETHEUS.format(
            alertmanager=alertmanager, prometheus=prometheus, exporter=exporter, rules=folder / "rules.yml"
        )
        (folder / "prometheus.yml").write_text(config)
        with (
            running(prometheus_command, folder / "prometheus.log"),
            start_grafana(folder / "grafana", f"http://{prometheus}") as grafana,
        ):
            wait_for(lambda: get(f"http://{prometheus}/-/ready")[0] == 200, 30, "Prometheus")
            yield Stack(grafana, f"http://{prometheus}")


def board(stem: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GENERATED / f"{stem}.json").read_text())
    return found


@pytest.mark.parametrize("stem", STEMS)
def test_every_query_of_the_board_has_data(stack: Stack, stem: str) -> None:
    """Through Grafana's own data source, with the provisioned uid, against the real Prometheus."""
    waiting = {panel["title"]: panel for panel in board(stem)["panels"] if panel.get("targets")}
    assert waiting

    def all_filled() -> bool:
        for title, panel in list(waiting.items()):
            if all(ask(stack.grafana, panel).values()):
                del waiting[title]
        return not waiting

    try:
        wait_for(all_filled, 90, "data", interval=2)
    except AssertionError:
        raise AssertionError(f"{stem}: no data for {sorted(waiting)}") from None


@pytest.mark.parametrize("stem", STEMS)
def test_the_board_shows_all_its_panels_filled(stack: Stack, stem: str, tmp_path: Path) -> None:
    """At 1600 pixels, in Chromium; FLEETWATCH_PICTURES names a folder that keeps the pictures."""
    folder = Path(os.environ.get("FLEETWATCH_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    seen = screenshot(f"{stack.grafana}/d/fw-{stem}?from=now-1m&to=now&kiosk&theme=light", folder / f"{stem}.png")
    assert seen.errors == 0
    charts = [panel for panel in board(stem)["panels"] if panel.get("targets")]
    assert [panel["title"] for panel in charts if panel["title"] not in seen.text] == []
    empty = {panel["fieldConfig"]["defaults"]["noValue"] for panel in charts} | {"No data"}
    assert [text for text in empty if text in seen.text] == []
    for start, end in LEADS_TO[stem]:
        assert [link for link in seen.links if link.startswith(start) and link.endswith(end)], f"{start} … {end}"


def test_a_broken_query_and_an_empty_panel_are_seen(stack: Stack, tmp_path: Path) -> None:
    """The proof that the test above can fail: a board with one query that is no PromQL and one that finds nothing."""
    broken = board("llm")
    broken["uid"] = "broken"
    first, second = (panel for panel in broken["panels"][1:3])
    first["targets"][0]["expr"] = "sum(("
    second["targets"][0]["expr"] = "no_such_series"
    call(stack.grafana, "/api/dashboards/db", {"dashboard": broken}, ADMIN)
    seen = screenshot(f"{stack.grafana}/d/broken?from=now-1m&to=now&kiosk", tmp_path / "broken.png")
    assert seen.errors == 1
    assert second["fieldConfig"]["defaults"]["noValue"] in seen.text
