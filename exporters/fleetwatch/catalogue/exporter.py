"""The product watching itself: receiver, ledger, meter, collectors."""

from __future__ import annotations

from fleetwatch.catalogue.hosts import HOST
from fleetwatch.catalogue.metric import counter, gauge, histogram, label

SIGNAL = label("signal", "OTLP signal; lineage: OpenLineage's events.", one_of=("traces", "metrics", "logs", "lineage"))
TRANSPORT = label("transport", "How the request came.", one_of=("http", "grpc"))
STATUS = label(
    "status",
    "Answer to the sender: accepted, refused for its content or rights, or to be sent again later.",
    one_of=("ok", "bad_request", "unauthorized", "too_large", "unsupported", "timeout", "throttled", "unavailable"),
)
REJECT_REASON = label(
    "reason",
    "Why an item was not accepted.",
    one_of=("no_id", "bad_tokens", "bad_time", "bad_point", "bad_event"),
)
DIALECT = label("dialect", "Vocabulary that the sender speaks.", at_most=40)
RECORD_KIND = label(
    "kind",
    "Kind of record.",
    one_of=(
        *("llm_call", "llm_usage", "agent_run", "tool_call", "evaluation", "pipeline_run", "pipeline_phase"),
        *("acknowledgement", "fleet_slice", "spot_signal", "spot_move"),
    ),
)
LEDGER_ERROR = label("reason", "What failed.", one_of=("disk_full", "read_only", "damaged", "locked", "other"))
METRIC = label("metric", "Prometheus name of the metric.", at_most=400)
LABEL = label("label", "Name of the label.", at_most=60)
VERSION = label("version", "Version of fleetwatch.", at_most=4)
COLLECTOR = label("collector", "Name of the collector.", at_most=100)
API = label("api", "A vendor's interface, by the name its vendor uses: cloudwatch, sts.", at_most=30)
API_OPERATION = label("operation", "What was asked of it: GetMetricData.", at_most=60)
API_OUTCOME = label(
    "outcome",
    "How an attempt ended: answered; too many; not permitted; no valid identity; region switched off; no answer; else.",
    one_of=("ok", "throttled", "denied", "credentials", "region", "unreachable", "error"),
)
PERMISSION = label("permission", "What is missing, as its vendor calls it: cloudwatch:GetMetricData.", at_most=60)

RECEIVER_REQUESTS = counter(
    "fleetwatch.receiver.requests",
    unit="{request}",
    help="Requests of senders by answer.",
    labels=(SIGNAL, TRANSPORT, STATUS),
)
RECEIVER_REJECTED = counter(
    "fleetwatch.receiver.rejected",
    unit="{item}",
    help="Spans, data points and events that were refused inside accepted requests.",
    labels=(SIGNAL, REJECT_REASON),
)
RECEIVER_CLOCK_SKEW = gauge(
    "fleetwatch.receiver.clock_skew",
    unit="s",
    help="Largest lead of a sender's clock over this machine's in the past five minutes; 0 when none leads.",
)
UNKNOWN_VERSIONS = counter(
    "fleetwatch.dialect.unknown_versions",
    unit="{item}",
    help="Items of senders in versions that their dialect was not tried with; they are read all the same.",
    labels=(DIALECT,),
)
LEDGER_RECORDS = counter(
    "fleetwatch.ledger.records",
    unit="{record}",
    help="Records committed to the ledger.",
    labels=(RECORD_KIND,),
)
LEDGER_COMMIT = histogram(
    "fleetwatch.ledger.commit",
    unit="s",
    help="Duration of one group commit, on disk.",
    # A local SSD syncs in 0.2 ms; past 50 ms senders notice, past 1 s the disk is ill.
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
LEDGER_ERRORS = counter(
    "fleetwatch.ledger.errors",
    unit="{error}",
    help="Commits that failed; the senders were told to try again.",
    labels=(LEDGER_ERROR,),
)
LEDGER_PENDING = gauge(
    "fleetwatch.ledger.pending", unit="{record}", help="Records that wait for their commit; not acknowledged yet."
)
LEDGER_SIZE = gauge("fleetwatch.ledger.size", unit="By", help="Size of the ledger's files on disk.")
LEDGER_CHECKPOINT = gauge(
    "fleetwatch.ledger.checkpoint.timestamp",
    unit="s",
    help="When totals were last folded into the ledger, Unix time. Rows after it are folded again at start.",
)
LABEL_OVERFLOW = counter(
    "fleetwatch.label_overflow",
    unit="{value}",
    help="Updates whose label value was past the label's bound and became _other.",
    labels=(METRIC, LABEL),
)
SERIES = gauge("fleetwatch.series", unit="{series}", help="Series that the exporter exposes.")
BUILD_INFO = gauge("fleetwatch.build.info", unit="", help="The running version; always 1.", labels=(VERSION,))
START_TIME = gauge("fleetwatch.start.timestamp", unit="s", help="When the exporter started, Unix time.")
PROCESS_MEMORY = gauge(
    "fleetwatch.process.memory.usage", unit="By", help="Resident memory of the program itself.", labels=(HOST,)
)
PROCESS_CPU = counter(
    "fleetwatch.process.cpu.time", unit="s", help="Processor time of the program itself.", labels=(HOST,)
)
PROCESS_FILES = gauge(
    "fleetwatch.process.file_descriptor.count",
    unit="{file_descriptor}",
    help="Open files and sockets of the program itself.",
    labels=(HOST,),
)
COLLECTOR_SUCCESS = gauge(
    "fleetwatch.collector.success",
    unit="",
    help="Whether the collector's last cycle succeeded.",
    labels=(HOST, COLLECTOR),
)
COLLECTOR_DURATION = gauge(
    "fleetwatch.collector.duration",
    unit="s",
    help="Duration of the collector's last cycle.",
    labels=(HOST, COLLECTOR),
)
COLLECTOR_LAST_SUCCESS = gauge(
    "fleetwatch.collector.last_success.timestamp",
    unit="s",
    help="When the collector last succeeded, Unix time.",
    labels=(HOST, COLLECTOR),
)
COLLECTOR_SERIES = gauge(
    "fleetwatch.collector.series",
    unit="{series}",
    help="Series of the collector's last cycle.",
    labels=(HOST, COLLECTOR),
)
COLLECTOR_DENIED = gauge(
    "fleetwatch.collector.denied",
    unit="",
    help="1 for a permission that the collector lacked in its last cycle; absent when it lacks none.",
    labels=(HOST, COLLECTOR, PERMISSION),
)
API_REQUESTS = counter(
    "fleetwatch.api.requests",
    unit="{request}",
    help="Requests to interfaces of vendors, each attempt by itself, since the program started.",
    labels=(HOST, COLLECTOR, API, API_OPERATION, API_OUTCOME),
)
API_ITEMS = counter(
    "fleetwatch.api.billed_items",
    unit="{item}",
    help="What vendors bill of the requests: metrics requested for GetMetricData, else requests.",
    labels=(HOST, COLLECTOR, API, API_OPERATION),
)
API_COST = counter(
    "fleetwatch.api.cost.usd",
    unit="{USD}",
    help="What these requests cost at list price, without free tiers; only where they cost something.",
    labels=(HOST, COLLECTOR, API, API_OPERATION),
)
