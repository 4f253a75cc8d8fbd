"""The product watching itself."""

from __future__ import annotations

from grafana.boards._alert_parts import alerts_now
from grafana.house import (
    ANSWERS,
    BAD,
    GOOD,
    Column,
    Limits,
    Not,
    Scope,
    answer,
    bars,
    board,
    outside,
    row,
    stat,
    state_timeline,
    table,
    timeseries,
    top,
    units,
)

from fleetwatch.catalogue import exporter

here = Scope()
NO_EXPORTER = "Exporter is not scraped"
NO_SELF_SCRAPE = "Prometheus or Alertmanager is not scraped"
NONE_YET = Limits(warn=0.5, bad=0.5)

# --- the answer

up = stat(
    "Exporter",
    outside("up", how="min", job="fleetwatch"),
    unit=units.PLAIN,
    meaning=Limits(warn=1, bad=1, falling=True),
    mappings={"1": ("Up", GOOD), "0": ("Down", BAD)},
    help="Whether Prometheus' last scrape of every exporter succeeded.",
    no_data="Not scraped",
    empty=BAD,
    runbook="ExporterDown",
)
refused = stat(
    "Requests refused",
    here.increase(exporter.RECEIVER_REQUESTS, status=Not(("ok",))).otherwise(0)
    / (here.increase(exporter.RECEIVER_REQUESTS) > 0),
    unit=units.SHARE,
    meaning=Limits(warn=0.01, bad=0.05),
    help="Share of OTLP requests in the time range that got another answer than OK. "
    "Senders repeat throttled and unavailable ones.",
    no_data="No requests",
    runbook="ReceiverRefusing",
)
ledger_errors = stat(
    "Failed commits",
    here.increase(exporter.LEDGER_ERRORS),
    unit=units.COUNT,
    meaning=NONE_YET,
    help="Commits to the ledger that failed in the time range. Nothing of them was acknowledged: senders try again.",
    no_data=NO_EXPORTER,
    runbook="LedgerFailing",
)
overflows = stat(
    "Label overflow",
    here.increase(exporter.LABEL_OVERFLOW).otherwise(here.last(exporter.SERIES) * 0),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=100),
    help="Updates in the time range whose label value was past its bound and went into _other: "
    "sums stay exact, that name is lost.",
    no_data=NO_EXPORTER,
    runbook="LabelOverflow",
)
alerts = stat(
    "Alerts firing",
    outside("ALERTS", how="count", alertstate="firing", domain="exporter").otherwise(0)
    - outside("ALERTS", how="count", alertname="Watchdog", alertstate="firing", domain="exporter").otherwise(0),
    unit=units.COUNT,
    meaning=NONE_YET,
    help="Alerts about the watcher itself that fire now, without the Watchdog, which always fires.",
)
version = stat(
    "Version",
    here.last(exporter.BUILD_INFO, by=exporter.VERSION),
    unit=units.PLAIN,
    show="name",
    help="Version of fleetwatch that runs; two while an update is under way.",
    no_data=NO_EXPORTER,
)

# --- receiver

answers = timeseries(
    "Requests by answer",
    here.rate(exporter.RECEIVER_REQUESTS, by=exporter.STATUS),
    unit=units.PER_SECOND,
    stacked=True,
    colours=ANSWERS,
    help="OTLP requests per second by the answer that the sender got.",
    no_data=NO_EXPORTER,
    runbook="ReceiverRefusing",
)
rejected = bars(
    "Items rejected",
    top(12, here.increase(exporter.RECEIVER_REJECTED, by=(exporter.SIGNAL, exporter.REJECT_REASON)) > 0),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=1e9),
    help="Spans and data points refused inside accepted requests, in the time range; the rest of the request counted.",
    no_data="No item was rejected",
    runbook="ReceiverRefusing",
    width=6,
)
skew = timeseries(
    "Lead of senders' clocks",
    here.last(exporter.RECEIVER_CLOCK_SKEW).named("largest lead"),
    unit=units.SECONDS,
    limits=Limits(warn=30, bad=30),
    help="How far the clock of some sender leads this machine's. Calls from the future fall into the wrong budget day.",
    no_data=NO_EXPORTER,
    runbook="ClockSkew",
    width=6,
)

# --- ledger

records = timeseries(
    "Records committed",
    here.rate(exporter.LEDGER_RECORDS, by=exporter.RECORD_KIND),
    unit=units.PER_SECOND,
    stacked=True,
    help="Records per second that are on disk and acknowledged.",
    no_data=NO_EXPORTER,
    runbook="LedgerFailing",
)
commit_time = timeseries(
    "Time of a commit",
    here.quantile(0.5, exporter.LEDGER_COMMIT),
    here.quantile(0.99, exporter.LEDGER_COMMIT),
    unit=units.SECONDS,
    help="Duration of group commits, sync to disk included. Past 50 ms senders notice, past 1 s the disk is ill.",
    no_data=NO_EXPORTER,
    runbook="LedgerBehind",
)
waiting = timeseries(
    "Records waiting",
    here.last(exporter.LEDGER_PENDING).named("waiting"),
    unit=units.COUNT,
    help="Records that wait for their commit. They are not acknowledged yet: a crash loses none of them.",
    no_data=NO_EXPORTER,
    runbook="LedgerBehind",
)
failures = bars(
    "Why commits fail",
    top(5, here.increase(exporter.LEDGER_ERRORS, by=exporter.LEDGER_ERROR) > 0),
    unit=units.COUNT,
    meaning=NONE_YET,
    help="Failed commits in the time range by reason.",
    no_data="No commit failed",
    runbook="LedgerFailing",
    width=4,
)
ledger_size = stat(
    "Ledger on disk",
    here.last(exporter.LEDGER_SIZE),
    unit=units.BYTES,
    help="Size of the ledger's files. Single calls older than ledger.keep_days are dropped, totals stay.",
    no_data=NO_EXPORTER,
    width=4,
)

# --- series and labels

series_over_time = timeseries(
    "Series and samples",
    here.last(exporter.SERIES, how="sum").named("series of the exporters"),
    outside("scrape_samples_scraped", job="fleetwatch").named("samples in a scrape"),
    unit=units.COUNT,
    help="What the exporters expose, and what a scrape brings; a histogram is one series and a sample per bucket.",
    no_data=NO_EXPORTER,
    runbook="ScrapeLimitNear",
)
overflow_table = table(
    "Labels past their bound",
    ["metric", "label"],
    [
        Column(
            "Updates",
            here.increase(exporter.LABEL_OVERFLOW, by=(exporter.METRIC, exporter.LABEL)) > 0,
            units.COUNT,
        )
    ],
    sort="Updates",
    help="Which label of which metric overflowed in the time range. "
    "Raise its bound in labels.limits, or send fewer values.",
    no_data="No label is past its bound",
    runbook="LabelOverflow",
)
scrape = timeseries(
    "Time of a scrape",
    outside("scrape_duration_seconds", by=("job",), how="max"),
    unit=units.SECONDS,
    help="How long Prometheus' scrapes take, by job. The exporter's must stay below its interval of 5 s.",
    no_data=NO_EXPORTER,
    runbook="ExporterDown",
)

# --- collectors

collected = state_timeline(
    "Collectors",
    here.last(exporter.COLLECTOR_SUCCESS, by=exporter.COLLECTOR, how="min"),
    mappings={"1": ("Works", GOOD), "0": ("Failed", BAD)},
    help="Whether each collector's last cycle succeeded. One that fails hurts only itself.",
    no_data="No collectors run",
    runbook="CollectorSourceFailing",
    height=6,
)
collector_table = table(
    "Collectors now",
    ["collector"],
    [
        Column("Cycle", here.last(exporter.COLLECTOR_DURATION, by=exporter.COLLECTOR), units.SECONDS),
        Column("Last success", here.age(exporter.COLLECTOR_LAST_SUCCESS, by=exporter.COLLECTOR), units.SECONDS),
        Column("Series", here.last(exporter.COLLECTOR_SERIES, by=exporter.COLLECTOR, how="sum"), units.COUNT),
    ],
    sort="Last success",
    help="Cycle: how long the last one took. Last success: how long ago. Series: of the last cycle.",
    no_data="No collectors run",
    runbook="CollectorSourceFailing",
    height=6,
    width=10,
)

# --- notifications

targets = state_timeline(
    "Targets",
    outside("up", by=("job",), how="min"),
    help="Whether Prometheus reaches what it scrapes, by job; Down when one of the job's targets is.",
    runbook="ExporterDown",
)
notifications = timeseries(
    "Notifications",
    (outside("alertmanager_notifications_total", function="rate") * 3600).named("sent"),
    (outside("alertmanager_notifications_failed_total", function="rate") * 3600).named("failed"),
    unit=units.PER_HOUR,
    colours={"failed": BAD},
    help="Notifications that Alertmanager sent per hour, over all receivers, and those of them that failed.",
    no_data=NO_SELF_SCRAPE,
    runbook="NotificationsFailing",
)
lost = bars(
    "Lost on the way to you",
    outside("alertmanager_notifications_failed_total", function="increase").named("notifications failed"),
    outside("prometheus_notifications_errors_total", function="increase").named("alerts not handed over"),
    outside("prometheus_rule_evaluation_failures_total", function="increase").named("rules failed"),
    unit=units.COUNT,
    meaning=NONE_YET,
    help="In the time range: notifications that failed, alerts that Prometheus could not hand to Alertmanager, "
    "and rules that could not be evaluated. All must be 0.",
    no_data=NO_SELF_SCRAPE,
    runbook="NotificationsFailing",
    width=6,
)

dashboard = board(
    "exporter",
    "Fleetwatch itself",
    question="Is the watcher well: does it hear everything, keep everything, and reach you?",
    leads_to=[("llm", "LLM cost"), ("models", "Models side by side")],
    alerts="exporter",
    rows=[
        answer(up, refused, ledger_errors, overflows, alerts, version),
        row("Does it hear everything", answers, rejected, skew),
        row("Does it keep everything", records, commit_time, waiting, failures, ledger_size),
        row("Is it within its bounds", series_over_time, overflow_table, scrape),
        row("Do the collectors work", collected, collector_table),
        row("Does it reach you", targets, notifications, lost),
        row("Who has what fires", alerts_now()),
    ],
)
