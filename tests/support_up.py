"""`fleetwatch up` in a folder of its own, on ports of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ANY_PORT = "127.0.0.1:0"


class Up:
    """One data_dir with its settings; the methods are the verbs."""

    def __init__(self, data: Path, environ: Mapping[str, str] | None = None) -> None:
        self.data = data
        listen = (
            "WEB__LISTEN",
            "RECEIVE__HTTP__LISTEN",
            "RECEIVE__GRPC__LISTEN",
            "STACK__PROMETHEUS_LISTEN",
            "STACK__ALERTMANAGER_LISTEN",
            "STACK__GRAFANA_LISTEN",
        )  # fmt: skip - the three of the exporter, the three of the others
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("FLEETWATCH_") or "TOOLS" in key},
            "FLEETWATCH_DATA_DIR": str(data),
            **{f"FLEETWATCH_{name}": ANY_PORT for name in listen},
            **(environ or {}),
        }

    def command(self, verb: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "fleetwatch", verb, *arguments]

    def run(self, verb: str, *arguments: str, timeout: float = 150) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(verb, *arguments),
            env=self.environ,
            cwd=self.data.parent,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def status(self) -> dict[str, dict[str, Any]]:
        """Program -> its row; empty when the stack is down."""
        done = self.run("status", "--format", "json")
        return {row["program"]: row for row in json.loads(done.stdout)} if done.stdout else {}

    def otlp(self, transport: str = "HTTP") -> str:
        """Where senders connect, from the table that `up` printed."""
        found = re.findall(rf"OTLP over {transport} +(http://\S+)", (self.data / "logs" / "up.log").read_text())
        return str(found[-1])

    @contextmanager
    def detached(self, *arguments: str) -> Iterator[str]:
        """Up until the block ends; gives what `up` printed."""
        done = self.run("up", "--native", "--detach", *arguments)
        try:
            assert done.returncode == 0, done.stdout + done.stderr
            yield done.stdout
        finally:
            self.run("down")
