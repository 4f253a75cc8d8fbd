"""A real Prometheus on loopback, of either supported generation."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from support import free_port, wait_for
from support_stack import get, releases, running

Series = frozenset[tuple[str, str]]


def prometheus_program(generation: str) -> str:
    """A Prometheus whose version begins with `generation`; skips the test by name when there is none."""
    for version, path in releases("prometheus"):
        if version.startswith(generation):
            return str(path)
    pytest.skip(f"Prometheus {generation} is not on this machine")


class Prometheus(NamedTuple):
    """A running Prometheus."""

    url: str
    log: Path

    def api(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of the HTTP API. Raises HTTPError."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str, at: float | None = None) -> dict[Series, float]:
        """An instant vector: labels -> value."""
        time = {} if at is None else {"time": f"{at:.3f}"}
        result = self.api("query", query=expression, **time)["result"]
        return {frozenset(item["metric"].items()): float(item["value"][1]) for item in result}

    def value(self, expression: str, at: float | None = None) -> float | None:
        """The only value of an expression; None for an empty result."""
        values = list(self.query(expression, at).values())
        assert len(values) <= 1, f"{expression} gives {len(values)} series"
        return values[0] if values else None

    def series(self, name: str, without: Sequence[str] = ("job", "instance")) -> dict[Series, float]:
        """Current series of one name, without the scrape's own labels."""
        found = self.query(f'{{__name__="{name}"}}')
        dropped = {"__name__", *without}
        return {
            frozenset((key, text) for key, text in series if key not in dropped): value
            for series, value in found.items()
        }


@contextmanager
def running_prometheus(
    program: str,
    folder: Path,
    targets: Mapping[str, str],
    *,
    interval: float = 1.0,
    rules: Sequence[Path] = (),
    alertmanager: str = "",
    flags: Sequence[str] = (),
    port: int = 0,
) -> Iterator[Prometheus]:
    """Prometheus until the block ends. targets: job -> HOST:PORT; interval: seconds between scrapes and evaluations;
    port: of its own, any free one by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every = f"{round(interval * 1000)}ms"
    config: dict[str, Any] = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(file) for file in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()
        ],
    }
    if alertmanager:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    server = Prometheus(f"http://127.0.0.1:{port or free_port()}", folder / "prometheus.log")
    command = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={server.url.removeprefix('http://')}",
        *flags,
    ]
    with running(command, server.log):
        wait_for(lambda: get(f"{server.url}/-/ready")[0] == 200, 30, f"Prometheus; {server.log}")
        yield server
