"""Every knob once: its type, its default and the reason to turn it."""

# The types below are read while the program runs, so they are no strings: no `from __future__ import annotations`.

import datetime
import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import field

from fleetwatch.settings.bills import Bills
from fleetwatch.settings.errors import SettingsError
from fleetwatch.settings.kinds import Address, Pattern, Seconds, Usd, Zone, why
from fleetwatch.settings.pipelines import Pipelines
from fleetwatch.settings.section import Section
from fleetwatch.settings.spot import Kubernetes, Spot, Storage


class Web(Section, frozen=True):
    listen: Annotated[Address, why("/metrics, /healthz, /readyz, runbooks and the landing page.")] = "127.0.0.1:9464"
    scrape_interval: Annotated[
        Seconds, why("How often Prometheus scrapes. A new counter shows 0 for twice as long: its first event is seen.")
    ] = 5.0


class HttpReceiver(Section, frozen=True):
    listen: Annotated[Address, why("OTLP over HTTP. Move it when a Collector owns the port.")] = "127.0.0.1:4318"


class GrpcReceiver(Section, frozen=True):
    listen: Annotated[Address, why("OTLP over gRPC. Move it when a Collector owns the port.")] = "127.0.0.1:4317"


class Receive(Section, frozen=True):
    http: HttpReceiver = HttpReceiver()
    grpc: GrpcReceiver = GrpcReceiver()
    token_file: Annotated[Path | None, why("File with a bearer token that senders must show.")] = None
    tls_cert_file: Annotated[Path | None, why("PEM certificate chain; with tls_key_file turns TLS on.")] = None
    tls_key_file: Annotated[Path | None, why("PEM private key.")] = None
    max_body_bytes: Annotated[int, why("Largest request body as sent.", gt=0)] = 8 << 20
    max_decompressed_bytes: Annotated[int, why("Largest request body after decompression.", gt=0)] = 20 << 20
    max_connections: Annotated[
        int,
        why(
            "Connections open at once, each transport for itself. Past it the longest idle one over HTTP is "
            "closed; where none is idle, and over gRPC, new ones are turned away.",
            gt=0,
        ),
    ] = 2000
    timeout: Annotated[Seconds, why("Time that a sender has to deliver a request.")] = 10.0
    usage_metrics: Annotated[
        Literal["auto", "always", "never"],
        why("Count token-usage metrics: auto leaves out services whose calls also come as spans."),
    ] = "auto"
    usage_metrics_grace: Annotated[
        Seconds, why("With auto: how long a service's token metrics wait for spans of the same service.")
    ] = 15.0
    count_at: Annotated[
        Literal["client", "proxy"],
        why("Which sighting of a call counts where a gateway sends spans, too. Only the caller's names the agent."),
    ] = "client"
    proxies: Annotated[
        list[str], why("Service names of gateways, for those whose spans do not tell that they are some.")
    ] = []
    proxy_grace: Annotated[
        Seconds,
        why(
            "How long a gateway's sighting waits for the caller's, and one that may be part of another for the spans "
            "between them."
        ),
    ] = 15.0


class LedgerSettings(Section, frozen=True):
    url: Annotated[str, why("sqlite:///PATH; empty for ledger.db in data_dir.")] = ""
    keep_days: Annotated[
        int, why("Days that single calls are kept and duplicates are recognised. Totals stay.", gt=0)
    ] = 60


class PriceOverride(Section, frozen=True, kw_only=True):
    """A contract price. Prices are US dollars per million tokens; kinds left out keep the list price."""

    provider: Annotated[str, why("Provider as in the label; empty for any.")] = ""
    model: Annotated[str, why("Model name, or a prefix that ends with *.")]
    input: Annotated[Usd | None, why("Per million input tokens.")] = None
    cache_read: Annotated[Usd | None, why("Per million input tokens read from a cache.")] = None
    cache_write: Annotated[Usd | None, why("Per million input tokens written to a cache.")] = None
    output: Annotated[Usd | None, why("Per million output tokens, reasoning among them.")] = None
    discount_percent: Annotated[Usd | None, why("Instead of prices: discount on the list price.")] = None
    valid_from: Annotated[datetime.date | None, why("First day (UTC).")] = None
    valid_to: Annotated[datetime.date | None, why("Last day (UTC).")] = None


class Prices(Section, frozen=True):
    overrides: Annotated[list[PriceOverride], why("Contract prices, exact names before prefixes.")] = []
    models: Annotated[
        dict[str, str], why("Deployment or alias to model: `my-gpt: gpt-4o` or `my-gpt: azure.ai.openai/gpt-4o`.")
    ] = {}


class Budget(Section, frozen=True):
    name: Annotated[str, why("Its name in series, alerts and boards.")]
    limit_usd: Annotated[Usd, why("US dollars for each period.")]
    period: Annotated[Literal["day", "month"], why("When it begins anew.")] = "month"
    timezone: Annotated[Zone, why("Whose days and months.")] = "UTC"
    agent: Annotated[str | None, why("Only calls of this agent; * and ? stand for other text.")] = None
    team: Annotated[str | None, why("Only calls of this team.")] = None
    model: Annotated[str | None, why("Only calls of this model.")] = None


class Labels(Section, frozen=True):
    limits: Annotated[dict[str, int], why("Bounds of labels where the catalogue's do not fit: `agent: 2000`.")] = {}
    max_series: Annotated[
        int,
        why(
            "Series shown at most, counted as Prometheus does; what is new past it goes to `_other`. "
            "Keep it below the scrape job's sample_limit, past which Prometheus drops all of them.",
            gt=0,
        ),
    ] = 150_000


class Collect(Section, frozen=True):
    enabled: Annotated[bool, why("Turn it off where its facts are not wanted.")] = True
    interval: Annotated[Seconds | None, why("Seconds between two cycles; empty for the source's own.")] = None
    timeout: Annotated[Seconds | None, why("Seconds after which a cycle has failed.")] = None
    jitter: Annotated[float | None, why("Share of the interval by which it may vary; 0.05.", ge=0, le=0.5)] = None


class ProcessGroup(Section, frozen=True):
    """Processes shown under one name, with their open files and disk use. The first group that fits has a process."""

    name: Annotated[str, why("Its name in series, alerts and boards.")]
    program: Annotated[Pattern, why("Pattern found in the program's name: `^nginx$`.")] = ""
    command: Annotated[Pattern, why("Pattern found in the command line: `manage.py runworker`.")] = ""


class Host(Section, frozen=True):
    """The machine that the program runs on, as its collectors see it."""

    enabled: Annotated[
        bool, why("Let `run` collect this machine's facts. Off where a sidecar does, or in a container.")
    ] = True
    name: Annotated[str, why("Its name in all series; empty for the host name.")] = ""
    region: Annotated[str, why("Cloud region, where the cloud itself is not asked.")] = ""
    zone: Annotated[str, why("Availability zone, where the cloud itself is not asked.")] = ""
    deployment: Annotated[
        Literal["", "bare_metal", "vm", "ec2", "container", "kubernetes_node", "kubernetes_pod"],
        why("What kind of machine it is; empty: found out."),
    ] = ""
    proc: Annotated[Path, why("The host's /proc, where a container has it mounted elsewhere.")] = Path("/proc")
    sys: Annotated[Path, why("The host's /sys, likewise.")] = Path("/sys")
    root: Annotated[Path, why("The host's root folder, likewise, for its file systems.")] = Path("/")
    process_groups: Annotated[list[ProcessGroup], why("Named groups of processes, at most 50.")] = []
    top_processes: Annotated[int, why("Programs shown by processor use, and as many by memory.", ge=0, le=20)] = 10
    ignored_filesystems: Annotated[Pattern, why("Pattern of types left out; empty: the kernel's own.")] = ""
    ignored_interfaces: Annotated[Pattern, why("Pattern of interfaces left out; empty: lo and containers'.")] = ""
    ignored_disks: Annotated[Pattern, why("Pattern of block devices left out; empty: partitions and loops.")] = ""
    imds: Annotated[str, why("Address of EC2's instance metadata service.")] = "http://169.254.169.254"


class Spool(Section, frozen=True):
    """Where the sidecar keeps what the sink has not taken yet."""

    max_bytes: Annotated[int, why("Size past which the oldest data is dropped and counted.", ge=1 << 20)] = 256 << 20
    sync: Annotated[
        Literal["always", "interval", "never"],
        why(
            "When data is forced to the disk: always, before a sender is answered; interval, every "
            "sync_interval. What is written survives a killed process in any case; this is about power and kernel."
        ),
    ] = "interval"
    sync_interval: Annotated[Seconds, why("With interval: what a power cut may cost at most.")] = 1.0


class Sidecar(Section, frozen=True):
    """`fleetwatch sidecar`: this machine's collectors, and a spool for what its applications send."""

    forward: Annotated[
        str,
        why(
            "OTLP/HTTP base address of a Collector or exporter, for example http://gateway:4318; "
            "empty: nothing is received or sent, /metrics can be scraped."
        ),
    ] = ""
    headers_file: Annotated[Path | None, why("File with one `name: value` a line, for example authorization.")] = None
    ca_file: Annotated[Path | None, why("PEM file of the authority that signed the sink's certificate.")] = None
    interval: Annotated[Seconds, why("Time between two reports of this machine.")] = 15.0
    timeout: Annotated[Seconds, why("Time that the sink has to answer.")] = 10.0
    spool: Spool = Spool()


class Roster(Section, frozen=True):
    """Which hosts should report, for those that push to this exporter."""

    expected: Annotated[list[str], why("Names of hosts that are missed when they do not report.")] = []
    learn: Annotated[bool, why("Expect hosts that have reported for confirm_after, too.")] = True
    confirm_after: Annotated[Seconds, why("How long a host reports before it is expected.")] = 600.0
    missing_after: Annotated[float, why("Of its own intervals without a report, after which it is missed.", ge=2)] = 3.0
    forget_after: Annotated[
        Seconds, why("How long a host is shown that said goodbye, was reclaimed or is missing.")
    ] = 7 * 86400.0
    max_hosts: Annotated[int, why("Hosts taken at most; the others are counted and left out.", gt=0)] = 500
    max_series: Annotated[int, why("Series taken of one host.", gt=0)] = 2000


class Agents(Section, frozen=True):
    """Agents: who should be there, when a task's cost is settled, and what is a loop."""

    expected: Annotated[list[str], why("Names of agents that should be there; who never reports is missed.")] = []
    missing_after: Annotated[float, why("Of its own intervals without a beat, after which it is missed.", ge=2)] = 3.0
    forget_after: Annotated[Seconds, why("How long a missing process is shown; `agents forget` ends it.")] = 86400.0
    max_processes: Annotated[int, why("Processes of agents taken at most; the others are counted.", gt=0)] = 1000
    loop_limit: Annotated[
        int, why("Identical tool calls in a row from which on a task runs in circles.", ge=3, le=200)
    ] = 10
    trace_grace: Annotated[
        Seconds, why("How long after a task its cost is settled: its last calls may come from another process.")
    ] = 10.0
    trace_quiet: Annotated[
        Seconds,
        why("A task that is no root is taken as outermost when nothing came of its trace for so long."),
    ] = 30.0


class AwsAccount(Section, frozen=True, kw_only=True):
    """An account of AWS that is looked into. One without a role is the exporter's own."""

    name: Annotated[str, why("Its name in series; empty: its number, for which sts:GetCallerIdentity is asked.")] = ""
    role_arn: Annotated[str, why("Role to take on there; empty: the exporter's own identity.")] = ""
    external_id: Annotated[str, why("As the role's trust policy asks for it.")] = ""


class Aws(Section, frozen=True):
    """Where and as whom AWS is asked. Credentials come as AWS' own tools find them, never from here."""

    enabled: Annotated[bool, why("Ask AWS about its AI services. CloudWatch bills what is asked.")] = False
    regions: Annotated[list[str], why("Regions to look into; empty: the one of the environment or profile.")] = []
    accounts: Annotated[list[AwsAccount], why("Accounts to look into; empty: the exporter's own.")] = []
    profile: Annotated[str, why("Profile of AWS' configuration files; empty: the usual one.")] = ""
    endpoint_url: Annotated[
        str,
        why(
            "Instead of AWS' own addresses, for all of them; http only on this machine. Of one alone: "
            "AWS_ENDPOINT_URL_CLOUDWATCH."
        ),
    ] = ""
    timeout: Annotated[Seconds, why("Time that AWS has for an answer.")] = 20.0
    attempts: Annotated[int, why("Attempts of a request, with growing pauses between them.", gt=0, le=10)] = 3


class AiServices(Section, frozen=True):
    """AI services of AWS, read from CloudWatch."""

    invocations: Annotated[
        dict[str, Literal["successful", "accepted", "all"]],
        why(
            "What a service's number of calls has in it, where it differs from what AWS documents: calls that went "
            "well; failed ones, too; throttled ones, too. `bedrock: successful`."
        ),
    ] = {}
    degraded_ratio: Annotated[float, why("Share of failed calls from which on a service is degraded.", gt=0, le=1)] = (
        0.05
    )
    throttled_ratio: Annotated[float, why("Share of calls turned away as too many: throttled.", gt=0, le=1)] = 0.05
    failing_ratio: Annotated[float, why("Share of failed calls from which on it is failing.", gt=0, le=1)] = 0.5
    least_calls: Annotated[float, why("Calls in 15 minutes below which a share says nothing.", ge=1)] = 5.0


class Scrape(Section, frozen=True):
    """Servers and gateways of models that are asked for their own metrics: addresses like http://127.0.0.1:8000."""

    vllm: Annotated[list[str], why("vLLM servers.")] = []
    vllm_token_file: Annotated[Path | None, why("File with the token that they want to see, where they do.")] = None
    litellm: Annotated[list[str], why("LiteLLM gateways with the callback `prometheus`.")] = []
    litellm_token_file: Annotated[Path | None, why("File with a key of theirs; their metrics need one.")] = None


class OtlpExport(Section, frozen=True):
    endpoint: Annotated[
        str, why("OTLP/HTTP metrics address, for example http://127.0.0.1:4318/v1/metrics; empty: off.")
    ] = ""
    interval: Annotated[Seconds, why("Time between two exports.")] = 15.0
    headers_file: Annotated[Path | None, why("File with one `name: value` a line, for example authorization.")] = None


class Export(Section, frozen=True):
    otlp: OtlpExport = OtlpExport()


class Alerting(Section, frozen=True):
    """Alertmanager, asked who has taken on which alert."""

    alertmanager: Annotated[
        str,
        why("Its address, for `alerts list|ack|unack` and what boards show of it; empty: stack.alertmanager_listen."),
    ] = ""
    headers_file: Annotated[Path | None, why("File with one `name: value` a line, for example authorization.")] = None


class Links(Section, frozen=True):
    """Addresses in alerts and messages, as the people who read them reach them."""

    exporter: Annotated[str, why("Runbooks; empty: `http://` and web.listen. The others likewise.")] = ""
    grafana: Annotated[str, why("Boards; empty: stack.grafana_listen.")] = ""
    prometheus: Annotated[str, why("Expressions behind an alert; empty: stack.prometheus_listen.")] = ""
    alertmanager: Annotated[str, why("Silences; empty: stack.alertmanager_listen.")] = ""


class Stack(Section, frozen=True):
    """What `up` starts on this machine."""

    prometheus_listen: Annotated[Address, why("Move it when another Prometheus has the port.")] = "127.0.0.1:9090"
    alertmanager_listen: Annotated[Address, why("Move it when the port is taken.")] = "127.0.0.1:9093"
    grafana_listen: Annotated[Address, why("Move it when the port is taken.")] = "127.0.0.1:3000"
    collector: Annotated[bool, why("Run a Collector in front of the exporter where one is found.")] = True
    slack_url_file: Annotated[Path | None, why("File with the Slack webhook's URL; none: no Slack.")] = None
    pagerduty_key_file: Annotated[Path | None, why("File with the PagerDuty routing key; none: no PagerDuty.")] = None
    deadman_url_file: Annotated[Path | None, why("File with the URL that gets the Watchdog.")] = None


def _data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "fleetwatch"


class Settings(Section, frozen=True):
    data_dir: Annotated[Path, why("The one folder that holds all data.")] = field(default_factory=_data_dir)
    web: Web = Web()
    receive: Receive = Receive()
    ledger: LedgerSettings = LedgerSettings()
    prices: Prices = Prices()
    budgets: list[Budget] = []
    bills: Bills = Bills()
    labels: Labels = Labels()
    collect: dict[str, Collect] = {}
    host: Host = Host()
    roster: Roster = Roster()
    agents: Agents = Agents()
    pipelines: Pipelines = Pipelines()
    alerting: Alerting = Alerting()
    aws: Aws = Aws()
    spot: Spot = Spot()
    storage: Storage = Storage()
    kubernetes: Kubernetes = Kubernetes()
    ai_services: AiServices = AiServices()
    scrape: Scrape = Scrape()
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
