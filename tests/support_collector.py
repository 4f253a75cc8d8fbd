"""A real Collector on loopback, with the shipped gateway.yaml unless told otherwise."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetwatch.places import PROJECT
from support import free_port, wait_for
from support_stack import get, post, program, running

GATEWAY = PROJECT / "otel-collector" / "gateway.yaml"


class Gateway:
    """One Collector that sends to `target` (HOST:PORT): its addresses and its queue stay the same over restarts."""

    def __init__(self, folder: Path, target: str, config: Path = GATEWAY) -> None:
        self.http = f"127.0.0.1:{free_port()}"
        self.metrics_port = free_port()
        self._health = f"127.0.0.1:{free_port()}"
        self._log = folder / "collector.log"
        self._config = config
        self._env = {
            "FLEETWATCH_COLLECTOR_HTTP": self.http,
            "FLEETWATCH_COLLECTOR_GRPC": f"127.0.0.1:{free_port()}",
            "FLEETWATCH_COLLECTOR_HEALTH": self._health,
            "FLEETWATCH_COLLECTOR_METRICS_PORT": str(self.metrics_port),
            "FLEETWATCH_COLLECTOR_QUEUE": str(folder / "queue"),
            "FLEETWATCH_COLLECTOR_TARGET": f"http://{target}",
        }

    @contextmanager
    def up(self) -> Iterator[subprocess.Popen[bytes]]:
        """Ready until the block ends; as often as wanted."""
        command = [program("otelcol-contrib"), "--config", str(self._config)]
        with running(command, self._log, self._env) as process:
            wait_for(lambda: get(f"http://{self._health}")[0] == 200, 30, f"the Collector; {self._log}")
            yield process

    def send(self, signal: str, message: bytes) -> int:
        """Status of one request."""
        return post(f"http://{self.http}/v1/{signal}", message)
