"""A real Grafana for tests, with the project's own provisioning, and pictures of its boards by Chromium."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fleetwatch.places import PROJECT
from support import free_port, wait_for
from support_stack import running

PROVISIONING = PROJECT / "grafana" / "provisioning"
ADMIN = {"Authorization": "Basic " + base64.b64encode(b"admin:admin").decode()}
"""Grafana's first login, as it stands in a new data folder."""

GENERATED = PROJECT / "grafana" / "generated"


def grafana_home() -> Path:
    """Folder of a Grafana installation; skips the test by name without one."""
    candidates = [Path(os.environ.get("FLEETWATCH_TOOLS", "")) / "grafana", Path("/usr/share/grafana")]
    for home in candidates:
        if (home / "bin" / "grafana").exists():
            return home
    pytest.skip("grafana is not on this machine")


@contextmanager
def start_grafana(
    folder: Path, prometheus_url: str, boards: Path = GENERATED, provisioning: Path = PROVISIONING
) -> Iterator[str]:
    """Base URL of a Grafana whose data lie in `folder`, that anyone on loopback may read, until the block ends."""
    home = grafana_home()
    port = free_port()
    env = {
        "GF_PATHS_DATA": str(folder / "data"),
        "GF_PATHS_LOGS": str(folder / "log"),
        "GF_PATHS_PLUGINS": str(folder / "plugins"),
        "GF_PATHS_PROVISIONING": str(provisioning),
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_SECURITY_ANGULAR_SUPPORT_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_UNIFIED_ALERTING_ENABLED": "false",
        "GF_ALERTING_ENABLED": "false",
        "FLEETWATCH_PROMETHEUS_URL": prometheus_url,
        "FLEETWATCH_BOARDS": str(boards),
    }
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "grafana.log"
    command = [str(home / "bin" / "grafana"), "server", "--homepath", str(home)]
    with running(command, log, env) as process:
        base = f"http://127.0.0.1:{port}"

        def healthy() -> bool:
            assert process.poll() is None, f"Grafana ended: {log.read_text()[-2000:]}"
            return bool(call(base, "/api/health")["database"] == "ok")

        wait_for(healthy, 60, "Grafana to be healthy", interval=0.2)
        yield base


def call(base: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
    """JSON answer of Grafana's API; a POST when there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def concrete(expr: str, seconds: int) -> str:
    """A panel's query as Grafana sends it for the past `seconds`, with all variables at "All"."""
    expr = expr.replace("$__range", f"{seconds}s").replace("$__rate_interval", "20s").replace("$__interval", "5s")
    return re.sub(r'=~?"\$\w+"', '=~".*"', expr)


def ask(base: str, panel: dict[str, Any], seconds: int = 120, headers: dict[str, str] | None = None) -> dict[str, int]:
    """Number of values that each query of the panel gets through Grafana over the past `seconds`, as the panel itself
    would ask with all variables at "All".
    """
    now = int(time.time() * 1000)
    queries = []
    for target in panel["targets"]:
        expr = concrete(target["expr"], seconds)
        uid = {"type": "prometheus", "uid": "fleetwatch-prometheus"}
        queries.append({**target, "expr": expr, "datasource": uid, "intervalMs": 5000, "maxDataPoints": 500})
    body = {"queries": queries, "from": str(now - seconds * 1000), "to": str(now)}
    results = call(base, "/api/ds/query", body, headers)["results"]
    return {
        ref: sum(len(column) for frame in result.get("frames", []) for column in frame["data"]["values"][1:])
        for ref, result in results.items()
    }


def chromium() -> str:
    """Path of Chromium; skips the test by name without it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("chromium is not on this machine")
    return path


class Seen(NamedTuple):
    """What a reader of a board sees: its words, where it leads, and how many panels carry an error mark."""

    text: str
    links: list[str]
    errors: int


def screenshot(url: str, path: Path, width: int = 1600) -> Seen:
    """A picture of the whole board once all its panels have drawn."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        try:
            # Grafana draws only what is in sight: the page is first as tall as any board, then as its content.
            page = browser.new_page(viewport={"width": width, "height": 4000})
            page.goto(url, wait_until="domcontentloaded")
            page.wait_for_selector(".react-grid-item", timeout=60_000)
            page.wait_for_load_state("networkidle", timeout=60_000)
            page.wait_for_function(NOTHING_LOADS, timeout=60_000)
            height = int(page.evaluate(CONTENT_HEIGHT))
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_function(NOTHING_LOADS, timeout=60_000)
            errors = len(page.query_selector_all(ERROR_MARKS))
            links = [anchor.get_attribute("href") or "" for anchor in page.query_selector_all("a")]
            seen = Seen(page.inner_text("body"), links, errors)
            page.screenshot(path=str(path))
        finally:
            browser.close()
    return seen


NOTHING_LOADS = """() => !document.querySelector('[aria-label="Panel loading bar"]')"""
CONTENT_HEIGHT = """() => Math.ceil(Math.max(
    ...[...document.querySelectorAll('.react-grid-item')].map(item => item.getBoundingClientRect().bottom)) + 24)"""
# In Grafana 10, and in newer ones.
ERROR_MARKS = '[aria-label="Panel status"], [data-testid="data-testid Panel status error"]'
