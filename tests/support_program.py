"""A program of ours as a process: its addresses and its data stay the same over restarts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import free_port, wait_for
from support_stack import get

Series = frozenset[tuple[str, str]]
"""Labels of a series, in no order."""


def labels(**values: str) -> Series:
    """Labels as `Program.metrics` and `Prometheus.series` have them."""
    return frozenset(values.items())


def samples(text: str) -> dict[str, dict[Series, float]]:
    """Samples of an exposition: name -> labels -> value."""
    found: dict[str, dict[Series, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


class Program:
    """`fleetwatch VERB` with settings of its own in `folder`; what it says is in `log`, its pages are at `web`.

    options: of the interpreter.
    """

    def __init__(self, verb: str, folder: Path, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.web = f"127.0.0.1:{free_port()}"
        self.config = folder / "fleetwatch.yml"
        self.log = folder / f"{verb}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._command = [sys.executable, *options, "-m", "fleetwatch", verb, "--config", str(self.config)]

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write the settings that it starts with."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(json.dumps(settings, indent=1), encoding="utf-8")  # JSON is YAML

    def start(self, path: str = "/readyz") -> Self:
        """Start, or start again, and wait until `path` answers 200: /healthz for one that cannot take data."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self._command, cwd=self.folder, env=environment(), stdout=out, stderr=out)
        try:
            wait_for(lambda: self._answers(path), 20, f"{path}; {self.log}", 0.02)
        except BaseException:
            self.kill9()
            raise
        return self

    def _answers(self, path: str) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            # wait_for takes other exceptions for "not yet".
            pytest.fail(f"it ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}")
        return self.get(path)[0] == 200

    def kill9(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(20)
        self.process = None
        return status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.kill9()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page."""
        return get(f"http://{self.web}{path}")

    def metrics(self, name: str) -> dict[Series, float]:
        """Series of one name on /metrics; empty where there is none."""
        return samples(self.get("/metrics")[1]).get(name, {})

    def value(self, name: str, **with_labels: str) -> float:
        """Sum of the series of one name that carry these labels."""
        wanted = set(with_labels.items())
        return sum(value for series, value in self.metrics(name).items() if wanted <= series)


def environment() -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("FLEETWATCH_", "OTEL_"))}
    return ours | {"PYTHONUNBUFFERED": "1"}
