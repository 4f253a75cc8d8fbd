"""The real exporter as a process of its own, with its own data, on loopback; and the replay that sends to it.

with House(tmp_path, {"budgets": [...]}) as house:
    ...
    house.kill9()
    house.start()
    assert house.metrics("llm_requests_total") == {labels(agent="triage", ...): 1}
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fleetwatch.ledger.query import Reader, Spending
from support import free_port, wait_for
from support_program import Program, environment

SCRAPE = 1.0
"""Seconds between scrapes in stack tests: a new counter shows 0 for twice as long."""


def nano(usd: float) -> int:
    """A sample of money in nano-USD. Exact below 4 million USD: a double holds 2^53 of them."""
    return round(usd * 10**9)


class House(Program):
    """One exporter: its addresses and its data stay the same over restarts.

    settings: sections of fleetwatch.yml beside the addresses; data: where the ledger lives.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None, data: Path | None = None) -> None:
        super().__init__("run", folder)
        self.data = data or folder / "data"
        self.http, self.grpc = (f"127.0.0.1:{free_port()}" for _ in range(2))
        given = dict(settings or {})
        ours: dict[str, Any] = {
            **given,
            "data_dir": str(self.data),
            "web": {"scrape_interval": SCRAPE, **given.get("web", {}), "listen": self.web},
            "receive": {**given.get("receive", {}), "http": {"listen": self.http}, "grpc": {"listen": self.grpc}},
        }
        self.configure(ours)

    @property
    def ledger(self) -> Path:
        return self.data / "ledger.db"

    def stop(self) -> int:
        """End it as a service manager does; returns the exit status."""
        return self._end(signal.SIGTERM)

    def spending(self, *by: str, since: datetime | None = None) -> list[Spending]:
        """Sums of the ledger, read beside the running exporter."""
        with Reader(self.ledger) as ledger:
            return ledger.spending(by, None if since is None else int(since.timestamp()))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A verb of `fleetwatch` with this exporter's settings."""
        return fleetwatch(*arguments, "--config", str(self.config))


def fleetwatch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end."""
    command = [sys.executable, "-m", "fleetwatch", *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)


class Replay:
    """`fleetwatch replay` in the background; `truth` is what it says at its end that it sent."""

    def __init__(self, folder: Path, endpoint: str, run_id: str, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._truth = folder / "truth.json"
        self._log = folder / "replay.log"
        command = [sys.executable, "-m", "fleetwatch", "replay", "--endpoint", f"http://{endpoint}", "--run-id", run_id]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--truth", str(self._truth), *options], env=environment(), stdout=out, stderr=out
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def finish(self, timeout: float = 90) -> dict[str, Any]:
        """Wait for the end, which must be a good one; the truth."""
        assert self.process.wait(timeout) == 0, self._log.read_text()
        truth: dict[str, Any] = json.loads(self._truth.read_text())
        assert f"acknowledged {truth['calls']}, rejected 0" in self._log.read_text()
        return truth


def kill_often(house: House, times: int, replay: Replay) -> int:
    """End the exporter by kill -9 and start it again while calls arrive, until the replay is over; how often.

    Each kill comes right after new records were seen, so it lands among commits, answers and checkpoints.
    """
    for done in range(times):
        before = house.value("fleetwatch_ledger_records_total")

        def arriving_or_over(before: float = before) -> bool:
            return house.value("fleetwatch_ledger_records_total") > before or not replay.is_running

        wait_for(arriving_or_over, 30, "new records", 0.02 + 0.07 * (done % 3))
        if not replay.is_running:
            return done
        house.kill9()
        house.start()
    return times
