"""The stack in containers: is there an engine, and the commands for docker-compose.yml."""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fleetwatch.places import PROJECT
from fleetwatch.settings import Settings
from fleetwatch.stack.ports import local
from fleetwatch.stack.programs import locate


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=2)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def engine_answers(environ: Mapping[str, str]) -> bool:
    """Whether the Docker engine of DOCKER_HOST, or the one of this machine, answers a ping."""
    address = environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if address.startswith("unix://"):
        connection: http.client.HTTPConnection = _UnixConnection(address.removeprefix("unix://"))
    elif address.startswith("tcp://"):
        try:
            connection = http.client.HTTPConnection(address.removeprefix("tcp://").rstrip("/"), timeout=2)
        except http.client.InvalidURL:
            return False
    else:  # ssh and others: only Docker's own program speaks them
        return _works(["docker", "version"])
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def compose_command(environ: Mapping[str, str]) -> list[str] | None:
    """`docker compose` or the standalone program, also from FLEETWATCH_TOOLS; None without either."""
    if _works(["docker", "compose", "version"]):
        return ["docker", "compose"]
    path = locate("docker-compose", environ)
    return [path] if path else None


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def command_line(compose: list[str], *arguments: str) -> list[str]:
    """A compose command for the shipped file: tags from .env.example, and what .env says otherwise."""
    own = PROJECT / ".env"
    files = [PROJECT / ".env.example", *([own] if own.is_file() else [])]
    return [*compose, "--project-directory", str(PROJECT), *(f"--env-file={file}" for file in files), *arguments]


def environment(settings: Settings, config: Path | None) -> dict[str, str]:
    """What docker-compose.yml takes from the settings: addresses on this machine, secrets' files, the settings file."""
    ours = settings.stack
    variables = {
        "PUBLISH_EXPORTER": settings.web.listen,
        "PUBLISH_OTLP_HTTP": settings.receive.http.listen,
        "PUBLISH_OTLP_GRPC": settings.receive.grpc.listen,
        "PUBLISH_PROMETHEUS": ours.prometheus_listen,
        "PUBLISH_ALERTMANAGER": ours.alertmanager_listen,
        "PUBLISH_GRAFANA": ours.grafana_listen,
    }
    files = {
        "SETTINGS_FILE": config,
        "SLACK_URL_FILE": ours.slack_url_file,
        "PAGERDUTY_KEY_FILE": ours.pagerduty_key_file,
        "DEADMAN_URL_FILE": ours.deadman_url_file,
    }
    return variables | {name: str(file.absolute()) for name, file in files.items() if file is not None}


def shares_mounts(mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether the root folder is a shared mount, as an engine wants it of a folder that a container sees live."""
    try:
        rows = [line.split() for line in mountinfo.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return True  # no Linux here, so the engine has a machine of its own
    # The last mount at a place is the one that is seen; its optional words say whom it shares with.
    roots = [row[6 : row.index("-")] for row in rows if row[4:5] == ["/"]]
    return not roots or any(word.startswith(("shared:", "master:")) for word in roots[-1])


def table(settings: Settings) -> list[tuple[str, str]]:
    """(name, address or place) for people."""
    ours = settings.stack
    return [
        ("exporter", f"http://{local(settings.web.listen)}"),
        ("OTLP over HTTP", f"http://{local(settings.receive.http.listen)} (otel-collector)"),
        ("OTLP over gRPC", f"http://{local(settings.receive.grpc.listen)} (otel-collector)"),
        ("prometheus", f"http://{local(ours.prometheus_listen)}"),
        ("alertmanager", f"http://{local(ours.alertmanager_listen)}"),
        ("grafana", f"http://{local(ours.grafana_listen)}"),
        ("Grafana's password", "user admin, docker compose exec grafana cat /rendered/secrets/admin_password"),
    ]
