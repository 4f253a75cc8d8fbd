"""The fleet: who reports, who is missing, who will be taken away, and who has too little of something."""

from __future__ import annotations

from grafana.house import (
    BAD,
    GOOD,
    NEUTRAL,
    QUIET,
    WARN,
    Column,
    Expr,
    Facts,
    Limits,
    Recorded,
    Scope,
    answer,
    bars,
    board,
    outside,
    row,
    stat,
    table,
    timeseries,
    top,
    total,
    units,
)

from fleetwatch.catalogue import exporter, hosts
from fleetwatch.catalogue.metric import Label

fleet = Scope()
HOST = hosts.HOST
DISK = (hosts.HOST, hosts.MOUNTPOINT)
TITLES = {HOST.name: "Host", hosts.MOUNTPOINT.name: "Mounted at"}

REPORTING = Recorded("hosts:reporting:count")
CPU_USE = Recorded("hosts:cpu_use:ratio_rate5m", (HOST,))
PRESSURE = Recorded("hosts:pressure:ratio_rate5m", (HOST, hosts.PRESSURE_RESOURCE, hosts.PRESSURE_KIND))
SATURATION = Recorded("hosts:saturation:ratio", (HOST, hosts.PRESSURE_RESOURCE))
AVAILABLE = Recorded("hosts:memory_available:ratio", (HOST,))
GPU_USE = Recorded("hosts:gpu_use:ratio", (HOST,))
SPOOL_USED = Recorded("hosts:spool_used:ratio", (HOST,))

STATES = {
    "reporting": GOOD,
    "notice": WARN,
    "missing": BAD,
    "never_seen": "purple",
    "goodbye": QUIET,
    "reclaimed": NEUTRAL,
}
WORDS = {
    "reporting": ("Reports", GOOD),
    "notice": ("Will be taken", WARN),
    "missing": ("Missing", BAD),
    "never_seen": ("Never seen", "purple"),
    "goodbye": ("Said goodbye", QUIET),
    "reclaimed": ("Was taken", NEUTRAL),
}
AT_ALL = Limits(warn=0.5, bad=0.5)
DISKS = Limits(warn=0.8, bad=0.95)

NO_HOSTS = "No host reports"
NO_ROSTER = "No host pushes its reports to the exporter"
NO_PRESSURE = "No host measures pressure (kernel without PSI)"
NO_SPOOLS = "No sidecar has a spool: none forwards data"


def disk_used() -> Expr:
    """As df says it: what only root may use is neither used nor free."""
    taken = fleet.last(hosts.FILESYSTEM_USAGE, by=DISK, how="sum", system_filesystem_state="used")
    both = fleet.last(hosts.FILESYSTEM_USAGE, by=DISK, how="sum", system_filesystem_state=("used", "free"))
    return taken / (both > 0)


def full_in() -> Expr:
    free = fleet.last(hosts.FILESYSTEM_USAGE, by=DISK, how="sum", system_filesystem_state="free")
    return free / (fleet.slope(hosts.FILESYSTEM_USAGE, by=DISK, system_filesystem_state="used") > 0)


def in_state(*states: str, by: tuple[Label, ...] = (HOST, hosts.HOST_STATE)) -> Expr:
    return fleet.last(hosts.STATE, by=by, state=states) > 0


def waiting(resource: str, kind: str) -> Expr:
    return fleet.last(PRESSURE, by=HOST, pressure_resource=resource, pressure_kind=kind)


IDLE_GROUPS = fleet.last(hosts.GROUP_PROCESSES, by=(HOST, hosts.GROUP)) < 1

# --- the answer

reporting = stat(
    "Hosts that report",
    fleet.last(REPORTING),
    unit=units.COUNT,
    meaning=GOOD,
    help="Hosts whose figures are here now: those that push their reports, those that are scraped, and this machine.",
    no_data=NO_HOSTS,
    empty=BAD,
    runbook="HostsAbsent",
)
missing = stat(
    "Missing",
    fleet.last(hosts.STATE, how="sum", state=("missing", "never_seen")),
    unit=units.COUNT,
    meaning=AT_ALL,
    help="Hosts that fell silent without a word, and hosts that the settings name and nobody has seen.",
    no_data=NO_ROSTER,
    runbook="HostMissing",
)
notices = stat(
    "Going away",
    fleet.last(hosts.STATE, how="sum", state="notice"),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=1e9),
    help="Spot machines with a notice of the cloud: they still report, and will be gone within two minutes.",
    no_data=NO_ROSTER,
    runbook="HostSpotNotice",
)
saturated = stat(
    "Saturated",
    total(fleet.last(SATURATION, by=HOST) > 1, how="count").otherwise(fleet.last(REPORTING) * 0),
    unit=units.COUNT,
    meaning=AT_ALL,
    help="Hosts whose tasks wait too long for processors, memory or disks: over the thresholds of the alerts.",
    no_data=NO_HOSTS,
    runbook="HostCpuSaturated",
)
fullest = stat(
    "Fullest disk",
    total(disk_used(), how="max"),
    unit=units.SHARE,
    meaning=DISKS,
    help="The fullest file system of all hosts, as df counts it.",
    no_data=NO_HOSTS,
    runbook="HostDiskFull",
)
alerts = stat(
    "Alerts firing",
    outside("ALERTS", how="count", alertstate="firing", domain="hosts").otherwise(0),
    unit=units.COUNT,
    meaning=AT_ALL,
    help="Alerts about hosts that fire now, notices of the cloud among them.",
)

# --- the fleet

fleet_table = table(
    "Hosts",
    [HOST.name],
    [
        Column("CPU use", fleet.last(CPU_USE, by=HOST), units.SHARE),
        Column("CPU waits", waiting("cpu", "some"), units.SHARE, meaning=Limits(warn=0.25, bad=0.5)),
        Column(
            "Memory free",
            fleet.last(AVAILABLE, by=HOST),
            units.SHARE,
            meaning=Limits(warn=0.15, bad=0.05, falling=True),
        ),
        Column("Fullest disk", total(disk_used(), by=HOST, how="max"), units.SHARE, meaning=DISKS),
        Column("GPU use", fleet.last(GPU_USE, by=HOST), units.SHARE),
        Column("Silent for", fleet.age(hosts.LAST_REPORT, by=HOST), units.SECONDS),
    ],
    facts=[
        Facts(in_state(*STATES), {hosts.HOST_STATE.name: "State"}, WORDS),
        Facts(
            fleet.last(hosts.INFO, by=(HOST, hosts.DEPLOYMENT, hosts.INSTANCE_TYPE, hosts.REGION, hosts.LIFECYCLE)),
            {
                hosts.DEPLOYMENT.name: "Kind",
                hosts.INSTANCE_TYPE.name: "Type",
                hosts.REGION.name: "Region",
                hosts.LIFECYCLE.name: "Paid as",
            },
        ),
    ],
    titles=TITLES,
    sort="CPU waits",
    help="One row per host; a click on one opens its board. CPU waits: share of the past 5 minutes in which a task "
    "waited for a processor. Memory free: what programs can still have. Silent for: since the last report that was "
    "pushed; scraped hosts have none. A dash: this host does not measure it, or is gone.",
    no_data=NO_HOSTS,
    link="host",
    runbook="HostMissing",
    height=12,
)

# --- who is there

by_state = timeseries(
    "Hosts by state",
    fleet.last(hosts.STATE, by=hosts.HOST_STATE, how="sum"),
    unit=units.COUNT,
    stacked=True,
    colours=STATES,
    help="Hosts that push their reports, by state. goodbye: said so before it fell silent; reclaimed: fell silent "
    "after a notice; missing: fell silent without a word; never_seen: named by the settings.",
    no_data=NO_ROSTER,
    runbook="HostsMissingMany",
)
# One query: a table of several says "No data" when it is empty, and not why.
gone = table(
    "Not there",
    [hosts.HOST_STATE.name, HOST.name],
    [
        Column(
            "Silent for",
            in_state("missing", "goodbye", "reclaimed", by=(hosts.HOST_STATE, HOST)).scaled(
                fleet.age(hosts.LAST_REPORT, by=HOST)
            ),
            units.SECONDS,
        )
    ],
    titles={**TITLES, hosts.HOST_STATE.name: "State"},
    sort="Silent for",
    help="Hosts that reported and do so no more, and since when. They are forgotten after roster.forget_after.",
    no_data="Every host is there",
    runbook="HostMissing",
    width=8,
)
leaving = bars(
    "Will be taken away",
    top(10, fleet.last(hosts.SPOT_ACTION, by=HOST) - Expr("time()")).named("taken in"),
    top(10, fleet.age(hosts.REBALANCE, by=HOST)).named("advised for"),
    unit=units.SECONDS,
    meaning=WARN,
    help="Spot machines: time until the cloud takes them, and time since it recommended to leave them.",
    no_data="No machine has a notice",
    link="host",
    runbook="HostSpotNotice",
    width=6,
)

# --- what is saturated

cpu_waits = bars(
    "Wait for a processor",
    top(10, waiting("cpu", "some")),
    unit=units.SHARE,
    meaning=Limits(warn=0.25, bad=0.5),
    help="Share of the past 5 minutes in which at least one task waited for a processor. A machine at 100 % use that "
    "keeps nobody waiting is no trouble.",
    no_data=NO_PRESSURE,
    link="host",
    runbook="HostCpuSaturated",
)
memory_waits = bars(
    "Stand still for memory",
    top(10, waiting("memory", "full")),
    unit=units.SHARE,
    meaning=Limits(warn=0.02, bad=0.1),
    help="Share of the past 5 minutes in which all tasks waited for memory. It comes before the kernel kills.",
    no_data=NO_PRESSURE,
    link="host",
    runbook="HostMemoryPressure",
)
io_waits = bars(
    "Stand still for disks",
    top(10, waiting("io", "full")),
    unit=units.SHARE,
    meaning=Limits(warn=0.1, bad=0.3),
    help="Share of the past 5 minutes in which all tasks waited for a disk or a file server.",
    no_data=NO_PRESSURE,
    link="host",
    runbook="HostIoPressure",
)
busiest = bars(
    "Use of processors",
    top(10, fleet.last(CPU_USE, by=HOST)),
    unit=units.SHARE,
    help="Share of the processors' time that was not idle, over the past 5 minutes. Much is good while nobody waits.",
    no_data=NO_HOSTS,
    link="host",
)

# --- what fills up

filling = table(
    "File systems",
    [HOST.name, hosts.MOUNTPOINT.name],
    [
        Column("Used", disk_used(), units.SHARE, meaning=DISKS),
        Column("Full in", full_in(), units.DURATION, meaning=Limits(warn=7 * 86400, bad=86400, falling=True)),
    ],
    titles=TITLES,
    sort="Used",
    help="Full in: when the file system is full if it goes on as in the time range on the screen. "
    "A dash: it does not grow.",
    no_data=NO_HOSTS,
    runbook="HostDiskFillsUp",
    height=9,
)
killed = bars(
    "Killed for want of memory",
    top(10, fleet.increase(hosts.OOM_KILLS, by=HOST) > 0),
    unit=units.COUNT,
    meaning=BAD,
    help="Processes that the kernel killed in the time range, in the machine or at a container's limit.",
    no_data="No process was killed",
    link="host",
    runbook="HostOomKill",
    width=6,
)
down = table(
    "Process groups that do not run",
    [HOST.name, hosts.GROUP.name],
    [Column("Running", IDLE_GROUPS, units.COUNT)],
    titles={**TITLES, hosts.GROUP.name: "Group"},
    sort="Running",
    help="Groups of host.process_groups without a process.",
    no_data="Every group runs",
    runbook="ProcessGroupDown",
    width=7,
)

# --- the sidecars

spools = bars(
    "Fullest spools",
    top(10, fleet.last(SPOOL_USED, by=HOST)),
    unit=units.SHARE,
    meaning=Limits(warn=0.3, bad=0.7),
    help="What waits in the sidecars' spools for the sink, as a share of what they may hold. Empty is good.",
    no_data=NO_SPOOLS,
    link="host",
    runbook="SpoolFilling",
)
spooled = timeseries(
    "Items through the spools",
    fleet.rate(hosts.SPOOL_ACCEPTED).named("accepted"),
    fleet.rate(hosts.SPOOL_FORWARDED).named("forwarded"),
    fleet.rate(hosts.SPOOL_DROPPED).named("lost"),
    unit=units.PER_SECOND,
    colours={"accepted": NEUTRAL, "forwarded": GOOD, "lost": BAD},
    help="Spans, data points and log records of all hosts: taken from applications, taken by the sink, lost.",
    no_data=NO_SPOOLS,
    runbook="SpoolDropping",
)
failing = table(
    "Collectors that fail",
    [HOST.name, exporter.COLLECTOR.name],
    [
        Column(
            "Last success",
            fleet.age(exporter.COLLECTOR_LAST_SUCCESS, by=(HOST, exporter.COLLECTOR)).where(
                (1 - fleet.last(exporter.COLLECTOR_SUCCESS, by=(HOST, exporter.COLLECTOR), how="min")) > 0
            ),
            units.SECONDS,
            meaning=BAD,
        )
    ],
    titles={**TITLES, exporter.COLLECTOR.name: "Collector"},
    sort="Last success",
    help="Collectors whose last cycle failed, and how long ago they last worked. All others of the host work on.",
    no_data="Every collector works",
    runbook="CollectorSourceFailing",
)
rejected = bars(
    "Series not taken",
    top(5, fleet.increase(hosts.REPORTS_REJECTED, by=hosts.REPORT_REJECT) > 0),
    unit=units.COUNT,
    meaning=WARN,
    help="Series in reports of hosts that the exporter did not take in the time range, by reason.",
    no_data="Every series was taken",
    runbook="HostsRejected",
    width=5,
)

dashboard = board(
    "hosts",
    "Hosts",
    question="Who reports, who is missing, who will be taken away, and who has too little of something?",
    leads_to=[("host", "One host"), ("exporter", "Is the watcher well?")],
    alerts="hosts",
    alerts_where='severity="page"',  # with many hosts there is always some ticket
    since="now-3h",
    rows=[
        answer(reporting, missing, notices, saturated, fullest, alerts),
        row("The fleet", fleet_table),
        row("Who is there", by_state, gone, leaving),
        row("What is saturated", cpu_waits, memory_waits, io_waits, busiest),
        row("What fills up, what broke", filling, killed, down),
        row("Are the sidecars well", spools, spooled, failing, rejected),
    ],
)
