"""Every knob, once, with the reason to turn it.

One optional `fleetwatch.yml`; environment variables `FLEETWATCH_SECTION__KEY` win over it; secrets are files.
A wrong key, type or unit raises SettingsError: a line per mistake with file, line and what was expected.
"""

from __future__ import annotations

import datetime
import os
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

PREFIX = "FLEETWATCH_"
CONFIG_NAME = "fleetwatch.yml"
# Variables that scripts, tests, Collector and Grafana of the product read; they are no settings.
NOT_SETTINGS = re.compile(r"FLEETWATCH_(BOARDS|COLLECTOR_\w+|CONFIG|LOCK|PICTURES|PROMETHEUS_URL|PYTHON|TOOLS|VENV)")


class SettingsError(Exception):
    """The settings are wrong; the text names the place and what was expected, a line per mistake."""


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("expected HOST:PORT, for example 127.0.0.1:9464")
    return value


def _zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise ValueError("expected a time zone such as Europe/Berlin or UTC") from None
    return value


def _seconds(value: Any) -> Any:
    """`15`, `15s`, `2m`, `1h` or `1d`, as seconds."""
    factors = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    if isinstance(value, str) and value[:-1].replace(".", "", 1).isdigit() and value[-1] in factors:
        return float(value[:-1]) * factors[value[-1]]
    if isinstance(value, bool) or (isinstance(value, str) and not value.replace(".", "", 1).isdigit()):
        raise ValueError("expected a duration such as 15s, 2m or 1h")
    return value


def _usd(value: Any) -> Any:
    """Money never passes through a float: YAML's 12.10 is read as its text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError("expected a number of US dollars")
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        raise ValueError("expected a number of US dollars") from None
    if not number.is_finite() or number < 0:
        raise ValueError("expected a number of US dollars, zero or more")
    return number


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]
Address = Annotated[str, AfterValidator(_address)]
Zone = Annotated[str, AfterValidator(_zone)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
Usd = Annotated[Decimal, BeforeValidator(_usd)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _nothing_set(cls, value: Any) -> Any:
        """A section whose every line is commented out is None in YAML."""
        return {} if value is None else value


class Web(_Section):
    listen: Address = Field("127.0.0.1:9464", description="/metrics, /healthz, /readyz, runbooks and the landing page.")
    scrape_interval: Seconds = Field(
        5.0,
        description="How often Prometheus scrapes. A new counter shows 0 for twice as long: its first event is seen.",
    )


class HttpReceiver(_Section):
    listen: Address = Field("127.0.0.1:4318", description="OTLP over HTTP. Move it when a Collector owns the port.")


class GrpcReceiver(_Section):
    listen: Address = Field("127.0.0.1:4317", description="OTLP over gRPC. Move it when a Collector owns the port.")


class Receive(_Section):
    http: HttpReceiver = HttpReceiver()
    grpc: GrpcReceiver = GrpcReceiver()
    token_file: Path | None = Field(None, description="File with a bearer token that senders must show.")
    tls_cert_file: Path | None = Field(None, description="PEM certificate chain; with tls_key_file turns TLS on.")
    tls_key_file: Path | None = Field(None, description="PEM private key.")
    max_body_bytes: int = Field(8 << 20, gt=0, description="Largest request body as sent.")
    max_decompressed_bytes: int = Field(20 << 20, gt=0, description="Largest request body after decompression.")
    max_connections: int = Field(
        2000,
        gt=0,
        description="Connections open at once, each transport for itself. Past it the longest idle one over HTTP is "
        "closed; where none is idle, and over gRPC, new ones are turned away.",
    )
    timeout: Seconds = Field(10.0, description="Time that a sender has to deliver a request.")
    usage_metrics: Literal["auto", "always", "never"] = Field(
        "auto", description="Count token-usage metrics: auto leaves out services whose calls also come as spans."
    )
    usage_metrics_grace: Seconds = Field(
        15.0, description="With auto: how long a service's token metrics wait for spans of the same service."
    )


class LedgerSettings(_Section):
    url: str = Field("", description="sqlite:///PATH; empty for ledger.db in data_dir.")
    keep_days: int = Field(
        60, gt=0, description="Days that single calls are kept and duplicates are recognised. Totals stay."
    )


class PriceOverride(_Section):
    """A contract price. Prices are US dollars per million tokens; kinds left out keep the list price."""

    provider: str = Field("", description="Provider as in the label; empty for any.")
    model: str = Field(description="Model name, or a prefix that ends with *.")
    input: Usd | None = Field(None, description="Per million input tokens.")
    cache_read: Usd | None = Field(None, description="Per million input tokens read from a cache.")
    cache_write: Usd | None = Field(None, description="Per million input tokens written to a cache.")
    output: Usd | None = Field(None, description="Per million output tokens, reasoning among them.")
    discount_percent: Usd | None = Field(None, description="Instead of prices: discount on the list price.")
    valid_from: datetime.date | None = Field(None, description="First day (UTC).")
    valid_to: datetime.date | None = Field(None, description="Last day (UTC).")


class Prices(_Section):
    overrides: list[PriceOverride] = Field([], description="Contract prices, exact names before prefixes.")
    models: dict[str, str] = Field(
        {}, description="Deployment or alias to model: `my-gpt: gpt-4o` or `my-gpt: azure.ai.openai/gpt-4o`."
    )


class Budget(_Section):
    name: str = Field(description="Its name in series, alerts and boards.")
    limit_usd: Usd = Field(description="US dollars for each period.")
    period: Literal["day", "month"] = Field("month", description="When it begins anew.")
    timezone: Zone = Field("UTC", description="Whose days and months.")
    agent: str | None = Field(None, description="Only calls of this agent; * and ? stand for other text.")
    team: str | None = Field(None, description="Only calls of this team.")
    model: str | None = Field(None, description="Only calls of this model.")


class Labels(_Section):
    limits: dict[str, int] = Field({}, description="Bounds of labels where the catalogue's do not fit: `agent: 2000`.")
    max_series: int = Field(
        150_000,
        gt=0,
        description="Series shown at most, counted as Prometheus does; what is new past it goes to `_other`. "
        "Keep it below the scrape job's sample_limit, past which Prometheus drops all of them.",
    )


class Collect(_Section):
    enabled: bool = Field(True, description="Turn it off where its facts are not wanted.")
    interval: Seconds | None = Field(None, description="Seconds between two cycles; empty for the source's own.")
    timeout: Seconds | None = Field(None, description="Seconds after which a cycle has failed.")
    jitter: float | None = Field(None, ge=0, le=0.5, description="Share of the interval by which it may vary; 0.05.")


class ProcessGroup(_Section):
    """Processes shown under one name, with their open files and disk use. The first group that fits has a process."""

    name: str = Field(description="Its name in series, alerts and boards.")
    program: Pattern = Field("", description="Pattern found in the program's name: `^nginx$`.")
    command: Pattern = Field("", description="Pattern found in the command line: `manage.py runworker`.")


class Host(_Section):
    """The machine that the program runs on, as its collectors see it."""

    enabled: bool = Field(
        True, description="Let `run` collect this machine's facts. Off where a sidecar does, or in a container."
    )
    name: str = Field("", description="Its name in all series; empty for the host name.")
    region: str = Field("", description="Cloud region, where the cloud itself is not asked.")
    zone: str = Field("", description="Availability zone, where the cloud itself is not asked.")
    deployment: Literal["", "bare_metal", "vm", "ec2", "container", "kubernetes_node", "kubernetes_pod"] = Field(
        "", description="What kind of machine it is; empty: found out."
    )
    proc: Path = Field(Path("/proc"), description="The host's /proc, where a container has it mounted elsewhere.")
    sys: Path = Field(Path("/sys"), description="The host's /sys, likewise.")
    root: Path = Field(Path("/"), description="The host's root folder, likewise, for its file systems.")
    process_groups: list[ProcessGroup] = Field([], description="Named groups of processes, at most 50.")
    top_processes: int = Field(10, ge=0, le=20, description="Programs shown by processor use, and as many by memory.")
    ignored_filesystems: Pattern = Field("", description="Pattern of types left out; empty: the kernel's own.")
    ignored_interfaces: Pattern = Field("", description="Pattern of interfaces left out; empty: lo and containers'.")
    ignored_disks: Pattern = Field("", description="Pattern of block devices left out; empty: partitions and loops.")
    imds: str = Field("http://169.254.169.254", description="Address of EC2's instance metadata service.")


class Spool(_Section):
    """Where the sidecar keeps what the sink has not taken yet."""

    max_bytes: int = Field(256 << 20, ge=1 << 20, description="Size past which the oldest data is dropped and counted.")
    sync: Literal["always", "interval", "never"] = Field(
        "interval",
        description="When data is forced to the disk: always, before a sender is answered; interval, every "
        "sync_interval. What is written survives a killed process in any case; this is about power and kernel.",
    )
    sync_interval: Seconds = Field(1.0, description="With interval: what a power cut may cost at most.")


class Sidecar(_Section):
    """`fleetwatch sidecar`: this machine's collectors, and a spool for what its applications send."""

    forward: str = Field(
        "",
        description="OTLP/HTTP base address of a Collector or exporter, for example http://gateway:4318; "
        "empty: nothing is received or sent, /metrics can be scraped.",
    )
    headers_file: Path | None = Field(
        None, description="File with one `name: value` a line, for example authorization."
    )
    ca_file: Path | None = Field(None, description="PEM file of the authority that signed the sink's certificate.")
    interval: Seconds = Field(15.0, description="Time between two reports of this machine.")
    timeout: Seconds = Field(10.0, description="Time that the sink has to answer.")
    spool: Spool = Spool()


class Roster(_Section):
    """Which hosts should report, for those that push to this exporter."""

    expected: list[str] = Field([], description="Names of hosts that are missed when they do not report.")
    learn: bool = Field(True, description="Expect hosts that have reported for confirm_after, too.")
    confirm_after: Seconds = Field(600.0, description="How long a host reports before it is expected.")
    missing_after: float = Field(
        3.0, ge=2, description="Of its own intervals without a report, after which it is missed."
    )
    forget_after: Seconds = Field(
        7 * 86400.0, description="How long a host is shown that said goodbye, was reclaimed or is missing."
    )
    max_hosts: int = Field(500, gt=0, description="Hosts taken at most; the others are counted and left out.")
    max_series: int = Field(2000, gt=0, description="Series taken of one host.")


class OtlpExport(_Section):
    endpoint: str = Field(
        "", description="OTLP/HTTP metrics address, for example http://127.0.0.1:4318/v1/metrics; empty: off."
    )
    interval: Seconds = Field(15.0, description="Time between two exports.")
    headers_file: Path | None = Field(
        None, description="File with one `name: value` a line, for example authorization."
    )


class Export(_Section):
    otlp: OtlpExport = OtlpExport()


class Links(_Section):
    """Addresses in alerts and messages, as the people who read them reach them."""

    exporter: str = Field(
        "http://127.0.0.1:9464",
        description="Runbooks. With `up` it follows web.listen unless it is set; the others likewise.",
    )
    grafana: str = Field("http://127.0.0.1:3000", description="Boards.")
    prometheus: str = Field("http://127.0.0.1:9090", description="Expressions behind an alert.")
    alertmanager: str = Field("http://127.0.0.1:9093", description="Silences.")


class Stack(_Section):
    """What `up` starts on this machine."""

    prometheus_listen: Address = Field("127.0.0.1:9090", description="Move it when another Prometheus has the port.")
    alertmanager_listen: Address = Field("127.0.0.1:9093", description="Move it when the port is taken.")
    grafana_listen: Address = Field("127.0.0.1:3000", description="Move it when the port is taken.")
    collector: bool = Field(True, description="Run a Collector in front of the exporter where one is found.")
    slack_url_file: Path | None = Field(None, description="File with the Slack webhook's URL; none: no Slack.")
    pagerduty_key_file: Path | None = Field(
        None, description="File with the PagerDuty routing key; none: no PagerDuty."
    )
    deadman_url_file: Path | None = Field(None, description="File with the URL that gets the Watchdog.")


def _data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "fleetwatch"


class Settings(_Section):
    data_dir: Path = Field(default_factory=_data_dir, description="The one folder that holds all data.")
    web: Web = Web()
    receive: Receive = Receive()
    ledger: LedgerSettings = LedgerSettings()
    prices: Prices = Prices()
    budgets: list[Budget] = []
    labels: Labels = Labels()
    collect: dict[str, Collect] = {}
    host: Host = Host()
    roster: Roster = Roster()
    sidecar: Sidecar = Sidecar()
    export: Export = Export()
    links: Links = Links()
    stack: Stack = Stack()

    @property
    def ledger_path(self) -> Path:
        """File of the ledger. Raises SettingsError for a URL that is not sqlite:///PATH."""
        url = self.ledger.url
        if not url:
            return self.data_dir / "ledger.db"
        if not url.startswith("sqlite:///") or len(url) == len("sqlite:///"):
            raise SettingsError(f'ledger.url: expected sqlite:///PATH, got "{url}"')
        return Path(url.removeprefix("sqlite:///"))


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from `path` (default: FLEETWATCH_CONFIG, else fleetwatch.yml here if it exists) and the environment."""
    named = path or (Path(environ["FLEETWATCH_CONFIG"]) if environ.get("FLEETWATCH_CONFIG") else None)
    file = named or Path(CONFIG_NAME)
    data: dict[str, Any] = {}
    lines: dict[tuple[str | int, ...], int] = {}
    if named is not None or file.exists():
        data, lines = _read(file)
    places = _overlay(data, environ)
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(file, lines, places, dict(item)) for item in error.errors())) from None
    names = [budget.name for budget in settings.budgets]
    for number, name in enumerate(names):
        if name in names[:number]:
            line = _line(lines, ("budgets", number))
            raise SettingsError(f'{file}{line}: budgets[{number}].name: expected a name of its own, got "{name}" again')
    settings.ledger_path  # noqa: B018 - raises for a bad URL at start and not at first use
    return settings


def _read(file: Path) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int]]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: expected UTF-8 text") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.load(text, Loader=_TextNumbers)  # noqa: S506 - a SafeLoader that reads floats as Decimals
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{file}{line}: expected YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{file}: expected YAML: {_one_line(error)}") from None
    except RecursionError:
        raise SettingsError(f"{file}: expected YAML, got brackets nested too deep") from None
    if data is None:
        return {}, {}
    if not isinstance(data, dict):
        raise SettingsError(f"{file}:1: expected sections such as `web:`, got {type(data).__name__}")
    lines: dict[tuple[str | int, ...], int] = {}
    for key, place in _remember_lines(node, (), lines, set()):
        raise SettingsError(f"{file}:{place}: {key}: expected once, got it again")
    return data, lines


class _TextNumbers(yaml.SafeLoader):
    """Reads 12.10 as Decimal("12.10"), money in a float would not be what was written, and days as their text."""


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal | float:
    text = loader.construct_scalar(node).replace("_", "")
    try:
        return Decimal(text)
    except ArithmeticError:
        return float(loader.construct_yaml_float(node))


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    """PyYAML fails without a line for 2026-02-30; the model's own check tells the place."""
    return str(loader.construct_scalar(node))


_TextNumbers.add_constructor("tag:yaml.org,2002:float", _decimal)
_TextNumbers.add_constructor("tag:yaml.org,2002:timestamp", _text)


def _remember_lines(
    node: yaml.Node | None, place: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int], seen: set[int]
) -> Iterator[tuple[str, int]]:
    """Fill `lines`; yields (key, line) of keys that stand twice. A node that aliases repeat is looked at once."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if (*place, key.value) in lines:
                yield ".".join(map(str, (*place, key.value))), key.start_mark.line + 1
            lines[(*place, key.value)] = key.start_mark.line + 1
            yield from _remember_lines(value, (*place, key.value), lines, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _remember_lines(value, (*place, number), lines, seen)


def _overlay(data: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str | int, ...], str]:
    """Put FLEETWATCH_A__B into data["a"]["b"]; lists and maps are given as YAML. Returns place -> variable."""
    places: dict[tuple[str | int, ...], str] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or NOT_SETTINGS.fullmatch(name):
            continue
        place = tuple(name.removeprefix(PREFIX).lower().split("__"))
        value: Any = text
        if text[:1] in ("[", "{"):
            try:
                value = yaml.load(text, Loader=_TextNumbers)  # noqa: S506 - see _read
            except (yaml.YAMLError, ValueError, RecursionError):
                raise SettingsError(f"{name}: expected a YAML list or map") from None
        inner = data
        for part in place[:-1]:
            if inner.get(part) is None:
                inner[part] = {}
            below = inner[part]
            if not isinstance(below, dict):
                raise SettingsError(f"{name}: {part} is not a section")
            inner = below
        inner[place[-1]] = value
        places[place] = name
    return places


def _line(lines: Mapping[tuple[str | int, ...], int], place: tuple[str | int, ...]) -> str:
    while place and place not in lines:
        place = place[:-1]
    return f":{lines[place]}" if place in lines and place else ""


def _explain(
    file: Path,
    lines: Mapping[tuple[str | int, ...], int],
    places: Mapping[tuple[str | int, ...], str],
    error: dict[str, Any],
) -> str:
    place: tuple[str | int, ...] = tuple(error["loc"])
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    source = places.get(place) or f"{file}{_line(lines, place)}"
    if error["type"] == "extra_forbidden":
        section = _section_at(place[:-1])
        known = ", ".join(sorted(section.model_fields)) if section else "another key"
        return f"{source}: {name}: unknown key; expected one of {known}"
    if error["type"] == "missing":
        return f"{source}: {name}: expected a value, got none"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if not message.startswith("expected"):
        message = f"expected {message.removeprefix('input should be ')}"
    return f"{source}: {name}: {message}, got {_shown(error['input'])}"


def _shown(value: object) -> str:
    """A wrong value on one line, however long it is."""
    if isinstance(value, (dict, list)):
        return "a map" if isinstance(value, dict) else "a list"
    text = _one_line(value)
    return f'"{text[:100]}…"' if len(text) > 100 else f'"{text}"'


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _section_at(place: tuple[str | int, ...]) -> type[BaseModel] | None:
    section: type[BaseModel] = Settings
    for part in place:
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part)
        if field is None:
            return None
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)]
        if not inner:
            return None
        section = inner[0]
    return section
