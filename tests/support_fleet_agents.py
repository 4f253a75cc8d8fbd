"""Agents for a fleet on loopback: the demo's, with its pipeline, in processes of their own, and what Prometheus knew of
them before today.

with earlier_days(program, folder / "prometheus" / "data"):  # before that Prometheus starts
with demo_agents(house.http, folder) as agents:
    with agents.held(): ...  # nothing moves meanwhile
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from fleetwatch.demo.agents import ROLES
from fleetwatch.demo.pipeline import WRITER
from support_program import environment
from support_stack import running

NAMES = frozenset({WRITER.name, *(role.name for role in ROLES)})
"""Who calls models: the agents, and the pipeline's."""
SPEED = 4
BEAT = 1
"""Seconds between two heartbeats."""
_DAY = 86400
_PROVIDERS = ("anthropic", "gcp.gemini", "openai")


class DemoAgents:
    """`fleetwatch demo` while it runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """It stands still until the block ends, and so does the run of its pipeline."""
        demo = psutil.Process(self._process.pid)
        demo.suspend()
        held = [demo, *demo.children(recursive=True)]
        try:
            for process in held[1:]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.suspend()
            yield
        finally:
            for process in held:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()


@contextlib.contextmanager
def demo_agents(sink: str, folder: Path) -> Iterator[DemoAgents]:
    """Until the block ends. sink: HOST:PORT of OTLP over HTTP."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--endpoint", f"http://{sink}", "--speed", str(SPEED), "--beat", str(BEAT)]
    command = [sys.executable, "-m", "fleetwatch", "demo", *options]
    with running(command, folder / "demo.log", environment()) as process:
        yield DemoAgents(process)


def earlier_days(prometheus: str, data: Path) -> None:
    """Put yesterday's and last week's trends into the folder of a Prometheus that has not started yet.

    prometheus: the program, beside which its promtool lies. Its own time begins with the test; a trend needs a past.
    """
    now = time.time()
    lines = []
    for metric, series in _past():
        lines.append(f"# TYPE {metric} gauge")
        for labels, value in series:
            for days in (7, 1):
                # From a little before to well after the moment that the boards ask about.
                times = range(int(now - days * _DAY - 300), int(now - days * _DAY + 1800), 60)
                lines += [f"{metric}{{{labels}}} {value} {at}" for at in times]
    data.mkdir(parents=True, exist_ok=True)
    file = data.parent / "past.om"
    file.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
    promtool = str(Path(prometheus).with_name(Path(prometheus).name.replace("prometheus", "promtool")))
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(file), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _past() -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """(recorded series, [(labels, value)])."""
    agents = [f'agent="{role.name}",team="{role.team}"' for role in ROLES]
    providers = [f'provider="{name}"' for name in _PROVIDERS]
    for what, of_agent, of_provider in (("cost_usd", 0.2, 0.5), ("requests", 40.0, 100.0), ("errors", 2.0, 5.0)):
        yield f"agents:{what}:increase1d", [(labels, of_agent) for labels in agents]
        yield f"agents:provider_{what}:increase1d", [(labels, of_provider) for labels in providers]
