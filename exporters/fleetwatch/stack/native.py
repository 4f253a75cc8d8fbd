"""The stack as plain processes of this machine: which programs, with which flags, on which addresses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from fleetwatch.places import PROJECT
from fleetwatch.settings import Settings
from fleetwatch.stack import StackError, ports, programs
from fleetwatch.stack.programs import ALERTMANAGER, COLLECTOR, GRAFANA, PROMETHEUS, Program
from fleetwatch.stack.render import Targets, keep_secret, links, render
from fleetwatch.stack.supervisor import Service

GRAFANA_HARDENING = {
    "GF_AUTH_ANONYMOUS_ENABLED": "false",
    "GF_USERS_ALLOW_SIGN_UP": "false",
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED": "false",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
    # Avatars would send a hash of every user's e-mail address to another company.
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    # Snapshots would publish data on a public server.
    "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
    "GF_SECURITY_ANGULAR_SUPPORT_ENABLED": "false",
    # Newer releases fetch plugins at start; the boards need none.
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
    # Without it a slow disk ends the first start: a reader of the database waits five seconds for a writer, no longer.
    "GF_DATABASE_WAL": "true",
    "GF_LOG_MODE": "console",
    "GF_LOG_LEVEL": "warn",
}
RETENTION_FLAGS = (
    # A budget's month, the month before it to compare with, and the weekdays behind a forecast.
    "--storage.tsdb.retention.time=90d",
    "--storage.tsdb.retention.size=20GB",
)


class Addresses(NamedTuple):
    """HOST:PORT of every listener. exporter_*: the exporter's own OTLP ports; with a Collector it takes otlp_*."""

    web: str
    otlp_http: str
    otlp_grpc: str
    exporter_http: str
    exporter_grpc: str
    collector_health: str
    collector_metrics: str
    prometheus: str
    alertmanager: str
    grafana: str


class Plan(NamedTuple):
    """What to start, and what to tell people when it runs: (name, address or place)."""

    services: list[Service]
    table: list[tuple[str, str]]


def find_programs(settings: Settings, environ: Mapping[str, str], say: Callable[[str], None]) -> dict[str, Program]:
    """The programs that this machine has, after fetching what it can; what is missing is said in one line each."""
    unpacked = settings.data_dir / "programs"
    names = [PROMETHEUS, ALERTMANAGER, COLLECTOR, GRAFANA]
    found = {name: program for name in names if (program := programs.find(name, environ, unpacked))}
    absent = [name for name in (PROMETHEUS, ALERTMANAGER) if name not in found]
    if absent:
        programs.unpack_debian(absent, unpacked, say)
        found |= {name: program for name in absent if (program := programs.find(name, environ, unpacked))}
    if ALERTMANAGER in found and (reason := programs.unfit(found[ALERTMANAGER], unpacked)):
        say(f"{ALERTMANAGER} is left out: {reason}")
        del found[ALERTMANAGER]
    if COLLECTOR in found and (reason := _collector_unwanted(settings)):
        say(f"{COLLECTOR} is left out: {reason}")
        del found[COLLECTOR]
    elif COLLECTOR not in found:
        say(f"{COLLECTOR} is not on this machine: {programs.WITHOUT[COLLECTOR]}")
    for name in (PROMETHEUS, ALERTMANAGER, GRAFANA):
        if name not in found:
            say(f"{name} is not on this machine: {programs.WITHOUT[name]}")
    return found


def _collector_unwanted(settings: Settings) -> str:
    if not settings.stack.collector:
        return "stack.collector is false"
    if settings.receive.token_file or settings.receive.tls_cert_file:
        # The gateway would have to check what the exporter checks, with a second copy of the secrets.
        return "receive.token_file or receive.tls_cert_file is set, and the exporter checks its senders itself"
    return ""


def resolve(settings: Settings, found: Mapping[str, Program]) -> Addresses:
    """Real addresses: port 0 becomes a free port; ports that only the programs use move by themselves.

    Raises StackError, one line for each port that is taken, with its holder and the setting that moves ours.
    """
    wanted = [
        ("exporter", "web.listen", settings.web.listen),
        ("OTLP over HTTP", "receive.http.listen", settings.receive.http.listen),
        ("OTLP over gRPC", "receive.grpc.listen", settings.receive.grpc.listen),
    ]
    ours = settings.stack
    for name, listen in (
        (PROMETHEUS, ours.prometheus_listen),
        (ALERTMANAGER, ours.alertmanager_listen),
        (GRAFANA, ours.grafana_listen),
    ):
        if name in found:
            wanted.append((name, f"stack.{name}_listen", listen))
    real: dict[str, str] = {}
    taken: list[str] = []
    for name, setting, address in wanted:
        host, port = ports.split(address)
        real[setting] = ports.free(host) if port == 0 else address
        if not ports.is_free(real[setting]):
            variable = "FLEETWATCH_" + setting.upper().replace(".", "__")
            taken.append(
                f"{address} ({name}) is in use by {ports.holder(address)}; "
                f"move ours with the setting {setting}, for example {variable}={ports.free(host)}"
            )
    if taken:
        raise StackError("\n".join(taken))
    http, grpc = real["receive.http.listen"], real["receive.grpc.listen"]
    behind = COLLECTOR in found
    return Addresses(
        web=real["web.listen"],
        otlp_http=http,
        otlp_grpc=grpc,
        exporter_http=ports.free_near("127.0.0.1:14318") if behind else http,
        exporter_grpc=ports.free_near("127.0.0.1:14317") if behind else grpc,
        collector_health=ports.free_near("127.0.0.1:13133"),
        collector_metrics=ports.free_near("127.0.0.1:8888"),
        prometheus=real.get("stack.prometheus_listen", ours.prometheus_listen),
        alertmanager=real.get("stack.alertmanager_listen", ours.alertmanager_listen),
        grafana=real.get("stack.grafana_listen", ours.grafana_listen),
    )


def with_addresses(settings: Settings, at: Addresses) -> Settings:
    """The settings with the addresses that are really used."""
    stack = {"prometheus_listen": at.prometheus, "alertmanager_listen": at.alertmanager, "grafana_listen": at.grafana}
    return structs.replace(
        settings,
        web=structs.replace(settings.web, listen=at.web),
        stack=structs.replace(settings.stack, **stack),
    )


def plan(settings: Settings, found: Mapping[str, Program], at: Addresses, config: Path | None) -> Plan:
    """Render the files and say what to start. `config`: the settings file to hand on. Raises StackError."""
    settings = with_addresses(settings, at)
    data = settings.data_dir.absolute()
    rendered = data / "rendered"
    alertmanager = found.get(ALERTMANAGER)
    render(
        settings,
        Targets(
            exporter=ports.local(at.web),
            prometheus=ports.local(at.prometheus) if PROMETHEUS in found else None,
            alertmanager=ports.local(at.alertmanager) if alertmanager else None,
            collector=at.collector_metrics if COLLECTOR in found else None,
            grafana=ports.local(at.grafana) if GRAFANA in found else None,
        ),
        rendered,
        webhook_files=alertmanager is None or programs.version(alertmanager) >= (0, 26),
    )
    bases = list(links(settings).values())
    services = [_exporter(at, data, bases, config)]
    if COLLECTOR in found:
        services.append(_collector(found[COLLECTOR], at, data))
    if alertmanager:
        services.append(_alertmanager(alertmanager, at, data, bases[2]))
    if PROMETHEUS in found:
        services.append(_prometheus(found[PROMETHEUS], at, data, bases[1]))
    if GRAFANA in found:
        services.append(_grafana(found[GRAFANA], at, data, bases[3]))
    return Plan(services, _table(services, at, data, behind=COLLECTOR in found))


def _table(services: list[Service], at: Addresses, data: Path, *, behind: bool) -> list[tuple[str, str]]:
    owner = COLLECTOR if behind else "exporter"
    rows = [
        ("exporter", f"http://{ports.local(at.web)}"),
        ("OTLP over HTTP", f"http://{ports.local(at.otlp_http)} ({owner})"),
        ("OTLP over gRPC", f"http://{ports.local(at.otlp_grpc)} ({owner})"),
    ]
    rows += [(item.name, item.shown) for item in services if item.name in (PROMETHEUS, ALERTMANAGER, GRAFANA)]
    if any(item.name == GRAFANA for item in services):
        rows.append(("Grafana's password", f"user admin, {data / 'grafana' / 'admin_password'}"))
    return [*rows, ("data and logs", str(data))]


def _log(data: Path, name: str) -> Path:
    return data / "logs" / f"{name}.log"


def _exporter(at: Addresses, data: Path, bases: list[str], config: Path | None) -> Service:
    command = [sys.executable, "-m", "fleetwatch", "run"]
    if config:
        command += ["--config", str(config.absolute())]
    env = {
        "FLEETWATCH_DATA_DIR": str(data),
        "FLEETWATCH_WEB__LISTEN": at.web,
        "FLEETWATCH_RECEIVE__HTTP__LISTEN": at.exporter_http,
        "FLEETWATCH_RECEIVE__GRPC__LISTEN": at.exporter_grpc,
        "FLEETWATCH_LINKS__EXPORTER": bases[0],
        "FLEETWATCH_LINKS__PROMETHEUS": bases[1],
        "FLEETWATCH_LINKS__ALERTMANAGER": bases[2],
        "FLEETWATCH_LINKS__GRAFANA": bases[3],
        "FLEETWATCH_STACK__ALERTMANAGER_LISTEN": at.alertmanager,
    }
    url = f"http://{ports.local(at.web)}"
    return Service("exporter", command, env, f"{url}/readyz", url, _log(data, "exporter"))


def _collector(program: Program, at: Addresses, data: Path) -> Service:
    host, port = ports.split(at.collector_metrics)
    env = {
        "FLEETWATCH_COLLECTOR_HTTP": at.otlp_http,
        "FLEETWATCH_COLLECTOR_GRPC": at.otlp_grpc,
        "FLEETWATCH_COLLECTOR_HEALTH": at.collector_health,
        "FLEETWATCH_COLLECTOR_METRICS_HOST": host,
        "FLEETWATCH_COLLECTOR_METRICS_PORT": str(port),
        "FLEETWATCH_COLLECTOR_QUEUE": str(data / "collector-queue"),
        "FLEETWATCH_COLLECTOR_TARGET": f"http://{at.exporter_http}",
    }
    command = [str(program.path), "--config", str(PROJECT / "otel-collector" / "gateway.yaml")]
    health = f"http://{at.collector_health}/"
    return Service(COLLECTOR, command, env, health, f"http://{ports.local(at.otlp_http)}", _log(data, COLLECTOR))


def _prometheus(program: Program, at: Addresses, data: Path, link: str) -> Service:
    command = [
        str(program.path),
        f"--config.file={data / 'rendered' / 'prometheus' / 'prometheus.yml'}",
        f"--storage.tsdb.path={data / 'prometheus'}",
        *RETENTION_FLAGS,
        f"--web.listen-address={at.prometheus}",
        f"--web.external-url={link}",
        "--web.route-prefix=/",
        "--log.level=warn",
    ]
    url = f"http://{ports.local(at.prometheus)}"
    return Service(PROMETHEUS, command, {}, f"{url}/-/ready", url, _log(data, PROMETHEUS))


def _alertmanager(program: Program, at: Addresses, data: Path, link: str) -> Service:
    command = [
        str(program.path),
        f"--config.file={data / 'rendered' / 'alertmanager' / 'alertmanager.yml'}",
        f"--storage.path={data / 'alertmanager'}",
        f"--web.listen-address={at.alertmanager}",
        f"--web.external-url={link}",
        "--web.route-prefix=/",
        "--cluster.listen-address=",  # alone; by default it would listen on every address for peers
        "--log.level=warn",
    ]
    url = f"http://{ports.local(at.alertmanager)}"
    return Service(ALERTMANAGER, command, {}, f"{url}/-/ready", url, _log(data, ALERTMANAGER))


def _grafana(program: Program, at: Addresses, data: Path, link: str) -> Service:
    if program.home is None:
        raise StackError(f"{program.path}: expected Grafana's folders conf and public beside it")
    host, port = ports.split(at.grafana)
    own = data / "grafana"
    password = keep_secret(own / "admin_password")
    key = keep_secret(own / "secret_key")
    env = {
        **GRAFANA_HARDENING,
        "GF_PATHS_DATA": str(own),
        "GF_PATHS_LOGS": str(data / "logs"),
        "GF_PATHS_PLUGINS": str(own / "plugins"),
        "GF_PATHS_PROVISIONING": str(data / "rendered" / "provisioning"),
        "GF_SERVER_HTTP_ADDR": host,
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_SERVER_ROOT_URL": link,
        # Grafana reads the files itself: its environment, which others may see, holds only their names.
        "GF_SECURITY_ADMIN_PASSWORD": f"$__file{{{password}}}",
        "GF_SECURITY_SECRET_KEY": f"$__file{{{key}}}",
        "FLEETWATCH_BOARDS": str(data / "rendered" / "boards"),
        "FLEETWATCH_PROMETHEUS_URL": f"http://{ports.local(at.prometheus)}",
    }
    command = [str(program.path), *([] if program.path.name == "grafana-server" else ["server"])]
    command += [f"--homepath={program.home}"]
    url = f"http://{ports.local(at.grafana)}"
    return Service(GRAFANA, command, env, f"{url}/api/health", url, _log(data, GRAFANA))


DEMO_SETTINGS = {
    # The bundled trace costs 24 US dollars: one budget is safe, one nearly spent, one exceeded.
    "FLEETWATCH_BUDGETS": (
        "[{name: all teams, limit_usd: 100, period: month},"
        " {name: support, limit_usd: 8, period: day, team: support},"
        " {name: legal, limit_usd: 1, period: day, team: legal}]"
    ),
    "FLEETWATCH_PIPELINES__SIGNALS": "[{name: prompts.long}, {name: tokens.rate, kind: gauge}]",
    "FLEETWATCH_PIPELINES__EXPECTED": "[{pipeline: usage-report, every: 120}]",
    # About that of a virtual machine with two processors.
    "FLEETWATCH_PIPELINES__MACHINES": "[{usd_per_hour: 0.1}]",
}
"""What the demo's traffic is judged by: variable of the exporter's environment -> its value."""


def with_demo_settings(services: list[Service], settings: Settings) -> list[Service]:
    """The exporter with the settings that the demo has something to show of; those that somebody made stay alone."""
    pipelines = settings.pipelines
    made = (settings.budgets, pipelines.signals, pipelines.expected, pipelines.machines)
    added = {name: text for (name, text), own in zip(DEMO_SETTINGS.items(), made, strict=True) if not own}
    return [item._replace(env={**item.env, **added}) if item.name == "exporter" else item for item in services]


def demo(at: Addresses, data: Path) -> Service:
    """A replay of the bundled trace, in three minutes."""
    command = [sys.executable, "-m", "fleetwatch", "replay", "--endpoint", f"http://{ports.local(at.otlp_http)}"]
    return Service("demo", command, {}, "", "the bundled trace", _log(data, "demo"), once=True)


def demo_agents(at: Addresses, data: Path) -> Service:
    """Agents that look busy, and a pipeline that is, for as long as the stack is up."""
    command = [sys.executable, "-m", "fleetwatch", "demo", "--endpoint", f"http://{ports.local(at.otlp_http)}"]
    shown = "eight agents of two teams and a pipeline"
    return Service("demo-agents", command, {}, "", shown, _log(data, "demo-agents"), once=True)
