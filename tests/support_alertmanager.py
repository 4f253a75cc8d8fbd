"""A real Alertmanager with the shipped configuration, and the services it talks to, on loopback.

with NotificationSink() as sink, running_alertmanager(programs()[0], tmp_path, sink) as alertmanager:
    alertmanager.post([alert("ExporterDown", severity="page")])
    message = wait_for(lambda: sink.slack, what="a Slack message")[0]
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import pytest
import yaml

from fleetwatch.places import PROJECT
from support import free_port, wait_for
from support_stack import releases, running

CONFIG = PROJECT / "alertmanager"
ROUTING_KEY = "0123456789abcdef0123456789abcdef"

Service = Literal["slack", "pagerduty", "deadman"]
Change = Callable[[dict[str, Any]], None]


class Message(dict[str, Any]):
    """A body that a service took. at: when it came, seconds on time.time()'s clock."""

    at: float


class NotificationSink:
    """Slack's incoming webhook, PagerDuty's Events API v2 and a dead-man webhook on one port.

    host: an address of this machine; other than loopback only where containers must reach it.
    Each checks what the real one checks (and what we promise: text below 3,000 characters) and answers 400 with the
    reason; taken bodies are in `slack`, `pagerduty`, `deadman`, reasons in `rejected`.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.slack: list[Message] = []
        self.pagerduty: list[Message] = []
        self.deadman: list[Message] = []
        self.rejected: list[str] = []
        self.turned_away: dict[Service, int] = {"slack": 0, "pagerduty": 0, "deadman": 0}
        self._trouble: dict[Service, tuple[str, float]] = {}
        self._stopping = threading.Event()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                status, kind, answer = sink._answer(self.path, self.headers.get("Content-Type", ""), body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a sender that gave up while we made it wait

        self._server = Server((host, 0), Handler)
        base = f"http://{host}:{self._server.server_address[1]}"
        self.slack_url = f"{base}/services/T00000000/B00000000/canary-slack-secret"
        self.pagerduty_url = f"{base}/v2/enqueue"
        self.deadman_url = f"{base}/deadman/canary-deadman-secret"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def refuse(self, service: Service, seconds: float = 3600) -> None:
        """Answer 503 for so long, or until `recover`."""
        self._trouble[service] = ("refuse", time.monotonic() + seconds)

    def hang(self, service: Service, seconds: float = 3600) -> None:
        """Take requests and answer 503 only after so long, or at `recover`."""
        self._trouble[service] = ("hang", time.monotonic() + seconds)

    def recover(self, service: Service) -> None:
        self._trouble.pop(service, None)

    def _answer(self, path: str, kind: str, body: bytes) -> tuple[int, str, bytes]:
        service: Service = (
            "slack" if path.startswith("/services/") else "pagerduty" if path.startswith("/v2/") else "deadman"
        )
        if self._in_trouble(service):
            self.turned_away[service] += 1
            return 503, "text/plain", b"service_unavailable"
        check = {"slack": slack_errors, "pagerduty": pagerduty_errors, "deadman": no_errors}[service]
        try:
            message = Message(json.loads(body.decode()))
            errors = check(message) if kind.startswith("application/json") else [f"content type is {kind}"]
        except (ValueError, TypeError) as error:
            message, errors = Message(), [f"not a JSON object: {error}"]
        if errors:
            self.rejected.append(f"{service}: {'; '.join(errors)}")
        else:
            message.at = time.time()
            {"slack": self.slack, "pagerduty": self.pagerduty, "deadman": self.deadman}[service].append(message)
        if service == "pagerduty":
            return (
                (400, "application/json", _pagerduty_refusal(errors))
                if errors
                else (202, "application/json", b'{"status":"success"}')
            )
        return (400, "text/plain", "; ".join(errors).encode()) if errors else (200, "text/plain", b"ok")

    def _in_trouble(self, service: Service) -> bool:
        how, until = self._trouble.get(service, ("", 0.0))
        if time.monotonic() > until:
            return False
        while how == "hang" and service in self._trouble and time.monotonic() < until:
            if self._stopping.wait(0.05):
                break
        return True


def _pagerduty_refusal(errors: list[str]) -> bytes:
    return json.dumps({"status": "invalid event", "message": "Event object is invalid", "errors": errors}).encode()


# What Slack would act on: anything between < and >, except links and dates. Text of ours uses no other.
SLACK_MARKUP = re.compile(r"<([^<>]*)>")
SLACK_OWN = re.compile(r"https?://[^\s|<>]+\|[A-Za-z ]+|!date\^-?\d+\^\{date_short_pretty\} \{time\}\|[0-9: -]+ UTC")
SLACK_ENTITY = re.compile(r"&(?!(?:amp|lt|gt);)")


def slack_errors(message: Mapping[str, Any]) -> list[str]:
    """What Slack would refuse or cut in a webhook message, and live markup that is not ours."""
    errors: list[str] = []
    attachments = message.get("attachments", [])
    if not attachments and not message.get("text"):
        return ["no_text"]
    if len(attachments) > 100:
        errors.append("too_many_attachments")
    for attachment in attachments:
        limits = {"title": 1024, "text": 2999, "fallback": 2999, "footer": 300, "pretext": 2999}
        for name, limit in limits.items():
            text = attachment.get(name, "")
            if not isinstance(text, str) or len(text) > limit:
                errors.append(f"{name} is longer than {limit}")
                continue
            errors += [
                f"{name}: live {found!r}" for found in SLACK_MARKUP.findall(text) if not SLACK_OWN.fullmatch(found)
            ]
            bare = SLACK_MARKUP.sub("", text)
            errors += [f"{name}: bare {mark}" for mark in "<>`*~" if mark in bare]
            errors += [f"{name}: bare _"] if re.search(r"\b_|_\b", bare, re.ASCII) else []
            errors += [f"{name}: live address"] if "://" in bare else []
            errors += [f"{name}: & is no entity"] if SLACK_ENTITY.search(text) else []
            errors += (
                [f"{name}: control character"]
                if re.search(r"[\x00-\x09\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text)
                else []
            )
        if not (attachment.get("title") and attachment.get("fallback")):
            errors.append("title or fallback is empty")
        if not re.fullmatch(r"https?://[^\s<>|]+", attachment.get("title_link", "")):
            errors.append(f"title_link is {attachment.get('title_link')!r}")
        if attachment.get("color") not in ("good", "warning", "danger"):
            errors.append(f"color is {attachment.get('color')!r}")
        if len(attachment.get("fields", [])) > 10 or len(attachment.get("actions", [])) > 5:
            errors.append("too many fields or actions")
    return errors


def no_errors(message: Mapping[str, Any]) -> list[str]:
    """A dead man's receiver looks at the time only."""
    return []


def pagerduty_errors(event: Mapping[str, Any]) -> list[str]:
    """What PagerDuty's Events API v2 would refuse or cut, and tags or addresses in foreign text."""
    errors: list[str] = []
    if event.get("routing_key") != ROUTING_KEY:
        errors.append("routing_key is wrong")
    if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        errors.append(f"event_action is {event.get('event_action')!r}")
    if not 0 < len(event.get("dedup_key", "")) <= 255:
        errors.append("dedup_key is empty or longer than 255")
    if len(json.dumps(event)) > 512_000:
        errors.append("event is larger than 512 kB")
    payload = event.get("payload") or {}
    for name, limit in {"summary": 1024, "source": 255, "severity": 20}.items():
        if not 0 < len(payload.get(name, "")) <= limit:
            errors.append(f"payload.{name} is empty or longer than {limit}")
    if payload.get("severity") not in ("critical", "error", "warning", "info"):
        errors.append(f"payload.severity is {payload.get('severity')!r}")
    details = payload.get("custom_details", {})
    if len(json.dumps(details)) > 20_000:
        errors.append("custom_details are larger than 20 kB")
    texts = [payload.get(name, "") for name in ("summary", "class", "component", "group")]
    texts += [text if isinstance(text, str) else json.dumps(text) for text in details.values()]
    for text in texts:
        errors += [f"live {mark} in {text[:80]!r}" for mark in ("<", "`", "://") if mark in text]
    addresses = [event.get("client_url", "http://"), *(link.get("href", "") for link in event.get("links", []))]
    errors += [f"address {href!r}" for href in addresses if not re.match(r"https?://", href)]
    return errors


class Program(NamedTuple):
    """An installed Alertmanager."""

    version: str
    alertmanager: str
    amtool: str

    def problem(self) -> str:
        """Why it cannot run here; empty when it can."""
        templates = Path("/usr/share/prometheus/alertmanager/default.tmpl")
        if Path(self.alertmanager).name == "prometheus-alertmanager" and not templates.exists():
            return f"Debian's Alertmanager {self.version} needs {templates} of its package"
        return ""


def programs() -> list[Program]:
    """Every Alertmanager here, one per version: FLEETWATCH_TOOLS, PATH, unpacked Debian packages."""
    found = releases("alertmanager", "prometheus-alertmanager")
    return [
        Program(version, str(path), str(path.with_name("amtool")))
        for version, path in found
        if path.with_name("amtool").exists()
    ]


def newest() -> Program:
    """The newest Alertmanager here; skips the test by name when there is none."""
    found = programs()
    if not found:
        pytest.skip("Alertmanager is not on this machine")
    return max(found, key=lambda item: [int(part) for part in item.version.split(".")[:2]])


def alert(name: str | None, *, annotations: Mapping[str, str] | None = None, **labels: str) -> dict[str, Any]:
    """An alert for POST /api/v2/alerts that fires from its arrival on, for 5 minutes unless it is sent again."""
    named = {"alertname": name} if name is not None else {}
    return {
        "labels": {**named, **labels},
        "annotations": dict(annotations or {}),
        "generatorURL": "http://127.0.0.1:9090/graph?g0.expr=up",
    }


def render(folder: Path, sink: NotificationSink, change: Change | None = None) -> Path:
    """A copy of the shipped configuration in `folder` that talks to `sink`: addresses and file paths differ, and what
    `change` does to the parsed file; nothing else.
    """
    secrets = folder / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "slack_url").write_text(sink.slack_url + "\n")
    (secrets / "pagerduty_key").write_text(ROUTING_KEY + "\n")
    (secrets / "deadman_url").write_text(sink.deadman_url + "\n")
    shutil.copytree(CONFIG / "templates", folder / "templates")
    config: dict[str, Any] = yaml.safe_load((CONFIG / "alertmanager.yml").read_text(encoding="utf-8"))
    config.setdefault("global", {})["pagerduty_url"] = sink.pagerduty_url
    for receiver in config["receivers"]:
        for entry in receiver.get("slack_configs", []):
            entry["api_url_file"] = str(secrets / "slack_url")
        for entry in receiver.get("pagerduty_configs", []):
            entry["routing_key_file"] = str(secrets / "pagerduty_key")
    if change:
        change(config)
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return file


class Alertmanager(NamedTuple):
    """A running Alertmanager."""

    url: str
    log: Path

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return str(answer.read().decode())

    def post(self, alerts: Iterable[Mapping[str, Any]]) -> None:
        """Hand over alerts as Prometheus does. Raises HTTPError when Alertmanager refuses them."""
        request = urllib.request.Request(
            self.url + "/api/v2/alerts", json.dumps(list(alerts)).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


@contextmanager
def running_alertmanager(
    program: Program,
    folder: Path,
    sink: NotificationSink,
    change: Change | None = None,
    config: Path | None = None,
) -> Iterator[Alertmanager]:
    """Alertmanager on an ephemeral loopback port, its data and log in `folder`.

    It is started in the folder of `config`; without one, the shipped configuration is rendered for `sink`.
    """
    config = config or render(folder / "alertmanager", sink, change)
    alertmanager = Alertmanager(f"http://127.0.0.1:{free_port()}", folder / "alertmanager.log")
    command = [
        "env",
        f"--chdir={config.parent}",
        program.alertmanager,
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={alertmanager.url.removeprefix('http://')}",
        "--web.external-url=http://127.0.0.1:9093",
        "--cluster.listen-address=",
    ]
    with running(command, alertmanager.log):
        wait_for(lambda: alertmanager.get("/-/ready"), 20, "Alertmanager to be ready")
        yield alertmanager
