"""docker-compose.yml under a project name, on ports and with files of a test's own."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.stack.compose import command_line, compose_command, engine_answers
from support import free_port
from support_alertmanager import NotificationSink
from support_stack import get

SERVICES = {"fleetwatch", "fleetwatch-host", "otel-collector", "prometheus", "alertmanager", "grafana"}
PORTS = ("EXPORTER", "OTLP_HTTP", "OTLP_GRPC", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")


def compose() -> list[str]:
    """The compose program; skips the test by name without it."""
    found = compose_command(os.environ)
    if found is None:
        pytest.skip("docker-compose is not on this machine")
    return found


def require_engine() -> None:
    """Skips the test by name where nothing answers."""
    if not engine_answers(os.environ):
        pytest.skip("no Docker engine answers (DOCKER_HOST)")


class Project:
    """The shipped file. variables: what stands in .env otherwise."""

    def __init__(self, **variables: str) -> None:
        self._compose = compose()
        self.environ = {**os.environ, "COMPOSE_PROJECT_NAME": f"fleetwatch-test-{os.getpid()}", **variables}

    def run(self, *arguments: str) -> str:
        done = self._run(*arguments)
        # What the containers say themselves is gone with them.
        said = self._run("logs", "--no-color", "--tail", "30").stdout if done.returncode and "up" in arguments else ""
        assert done.returncode == 0, done.stdout + done.stderr + said
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = command_line(self._compose, *arguments)
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False)

    def up(self, *options: str) -> None:
        """As `fleetwatch up --compose` does it: one that fell over while starting may be started again."""
        if self._run("up", "--detach", "--wait", *options).returncode:
            self.run("up", "--detach", "--wait")

    def states(self) -> dict[str, str]:
        """Service -> its health, or how it ended."""
        rows = [json.loads(line) for line in self.run("ps", "--all", "--format", "json").splitlines()]
        return {row["Service"]: row["Health"] or f"{row['State']} {row['ExitCode']}" for row in rows}


class Stack(Project):
    """The whole stack with a budget that the first calls break, and receivers of this test for what it tells.

    folder: for the settings and the receivers' addresses.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._slack, self._deadman = folder / "slack_url", folder / "deadman_url"
        for file in (self._slack, self._deadman):
            file.write_text("http://127.0.0.1:1/not-known-yet")  # a file without text would mean "not used"
        (folder / "fleetwatch.yml").write_text(json.dumps(settings))  # JSON is YAML
        super().__init__(
            SETTINGS_FILE=str(folder / "fleetwatch.yml"),
            SLACK_URL_FILE=str(self._slack),
            DEADMAN_URL_FILE=str(self._deadman),
            **{f"PUBLISH_{name}": f"127.0.0.1:{free_port()}" for name in PORTS},
        )

    def url(self, name: str) -> str:
        """name: one of PORTS."""
        return f"http://{self.environ[f'PUBLISH_{name}']}"

    def samples(self, metric: str) -> float:
        """Sum of the metric's series in the exporter."""
        lines = get(f"{self.url('EXPORTER')}/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{metric}{{"))

    def admin(self, password: str | None = None) -> dict[str, str]:
        """Header for Grafana's API; without a password it is the one that the stack made."""
        password = password or self.run("exec", "-T", "grafana", "cat", "/rendered/secrets/admin_password")
        return {"Authorization": "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()}

    def outside(self) -> NotificationSink:
        """Receivers where Alertmanager finds them: on this machine's end of the only network with a way out."""
        table = self.run("exec", "-T", "alertmanager", "cat", "/proc/net/route")
        rows = [line.split() for line in table.splitlines()[1:]]
        gateway = next(row[2] for row in rows if row[1] == "00000000")
        sink = NotificationSink(socket.inet_ntoa(struct.pack("<L", int(gateway, 16))))
        # Written in place: the containers have these very files.
        self._slack.write_text(sink.slack_url)
        self._deadman.write_text(sink.deadman_url)
        return sink
