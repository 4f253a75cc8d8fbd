"""One host: is it saturated, what fills up; its other parts are in _host_parts.py."""

from __future__ import annotations

import grafana.boards._host_parts as parts
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
    Variable,
    answer,
    board,
    row,
    stat,
    table,
    timeseries,
    total,
    units,
)

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Label

here = Scope(hosts.HOST)
HOST = hosts.HOST
PRESSURES = (hosts.PRESSURE_RESOURCE, hosts.PRESSURE_KIND)
DISK = (hosts.FILESYSTEM_TYPE, hosts.MOUNTPOINT)

CPU_USE = Recorded("hosts:cpu_use:ratio_rate5m", (HOST,))
PRESSURE = Recorded("hosts:pressure:ratio_rate5m", (HOST, *PRESSURES))
AVAILABLE = Recorded("hosts:memory_available:ratio", (HOST,))

STATES = {
    "reporting": ("Reports", GOOD),
    "notice": ("Will be taken", WARN),
    "missing": ("Missing", BAD),
    "never_seen": ("Never seen", "purple"),
    "goodbye": ("Said goodbye", QUIET),
    "reclaimed": ("Was taken", NEUTRAL),
}
MODES = {
    "user": NEUTRAL,
    "system": "purple",
    "nice": "light-blue",
    "iowait": WARN,
    "irq": "yellow",
    "softirq": "light-orange",
    "steal": BAD,
}
MEMORY = {"used": NEUTRAL, "cached": "light-green", "buffers": GOOD, "free": QUIET}
DISKS = Limits(warn=0.8, bad=0.95)

NOT_HERE = "This host does not report (now)"
NO_PRESSURE = "This kernel does not measure pressure (PSI is off)"
NO_ROSTER = "Not in the roster: scraped, or this machine itself"
NO_SWAP = "This host has no swap space"


def waiting(resource: str, kind: str) -> Expr:
    return here.last(PRESSURE, pressure_resource=resource, pressure_kind=kind)


def space(*states: str, by: tuple[Label, ...] = DISK) -> Expr:
    return here.last(hosts.FILESYSTEM_USAGE, by=by, how="sum", system_filesystem_state=states)


def inodes(*states: str) -> Expr:
    return here.last(hosts.FILESYSTEM_INODES, by=DISK, how="sum", system_filesystem_state=states)


# --- the answer

answers = [
    stat(
        "State",
        here.last(hosts.STATE, by=hosts.HOST_STATE) > 0,
        unit=units.PLAIN,
        show="name",
        help="What the roster says: reporting, notice (will be taken away), goodbye, reclaimed, missing, never_seen.",
        no_data=NO_ROSTER,
        runbook="HostMissing",
    ),
    stat(
        "CPU in use",
        here.last(CPU_USE),
        unit=units.SHARE,
        help="Share of the processors' time that was not idle, over the past 5 minutes. Much is good while nobody "
        "waits.",
        no_data=NOT_HERE,
    ),
    stat(
        "CPU waits",
        waiting("cpu", "some"),
        unit=units.SHARE,
        meaning=Limits(warn=0.25, bad=0.5),
        help="Share of the past 5 minutes in which at least one task waited for a processor.",
        no_data=NO_PRESSURE,
        runbook="HostCpuSaturated",
    ),
    stat(
        "RAM stalls",
        waiting("memory", "full"),
        unit=units.SHARE,
        meaning=Limits(warn=0.02, bad=0.1),
        help="Share of the past 5 minutes in which all tasks waited for memory.",
        no_data=NO_PRESSURE,
        runbook="HostMemoryPressure",
    ),
    stat(
        "Disk stalls",
        waiting("io", "full"),
        unit=units.SHARE,
        meaning=Limits(warn=0.1, bad=0.3),
        help="Share of the past 5 minutes in which all tasks waited for a disk or a file server.",
        no_data=NO_PRESSURE,
        runbook="HostIoPressure",
    ),
    stat(
        "Memory free",
        here.last(AVAILABLE),
        unit=units.SHARE,
        meaning=Limits(warn=0.15, bad=0.05, falling=True),
        help="Share of the memory that programs can still have without swapping, by the kernel's estimate.",
        no_data=NOT_HERE,
        runbook="HostMemoryPressure",
    ),
    stat(
        "Fullest disk",
        total(space("used") / (space("used", "free") > 0), how="max"),
        unit=units.SHARE,
        meaning=DISKS,
        help="The fullest file system of the host, as df counts it.",
        no_data=NOT_HERE,
        runbook="HostDiskFull",
    ),
]
FACTS = {
    hosts.DEPLOYMENT.name: "Kind",
    hosts.INSTANCE_TYPE.name: "Type",
    hosts.REGION.name: "Region",
    hosts.ZONE.name: "Zone",
    hosts.LIFECYCLE.name: "Paid as",
    hosts.CPUS.name: "CPUs",
    hosts.MEMORY_GIB.name: "GiB",
    hosts.GPUS.name: "GPUs",
    hosts.GPU_MODEL.name: "GPU",
}
machine = table(
    "The machine",
    [HOST.name],
    [Column("Up for", here.last(hosts.UPTIME, by=HOST), units.DURATION)],
    facts=[
        Facts(
            here.last(
                hosts.INFO,
                by=(
                    HOST,
                    hosts.DEPLOYMENT,
                    hosts.INSTANCE_TYPE,
                    hosts.REGION,
                    hosts.ZONE,
                    hosts.LIFECYCLE,
                    hosts.CPUS,
                    hosts.MEMORY_GIB,
                    hosts.GPUS,
                    hosts.GPU_MODEL,
                ),
            ),
            FACTS,
        )
    ],
    titles={HOST.name: "Host"},
    sort="Up for",
    help="What the machine is. An empty cell: neither the kernel nor the cloud nor the settings say it.",
    no_data=NOT_HERE,
    height=4,
)

# --- processors, load

pressure = timeseries(
    "Pressure",
    here.rate(hosts.PRESSURE_TIME, by=PRESSURES),
    unit=units.SHARE,
    help="Share of time that tasks lost waiting for a resource. some: at least one task waited; full: all did.",
    no_data=NO_PRESSURE,
    runbook="HostCpuSaturated",
)
cpu = timeseries(
    "Processors by mode",
    here.rate(hosts.CPU_TIME, by=hosts.CPU_MODE, cpu_mode=tuple(MODES)),
    unit=units.CPUS,
    stacked=True,
    colours=MODES,
    help="Processors in use, by what they did; 2 is two processors all the time. iowait: idle while a disk worked. "
    "steal: the hypervisor gave the time to others.",
    no_data=NOT_HERE,
    runbook="HostCpuSaturated",
)
load = timeseries(
    "Load",
    here.last(hosts.LOAD_1M).named("1 minute"),
    here.last(hosts.LOAD_5M).named("5 minutes"),
    here.last(hosts.LOAD_15M).named("15 minutes"),
    here.last(hosts.CPU_COUNT).named("processors"),
    unit=units.PLAIN,
    colours={"processors": QUIET},
    help="Threads that ran, waited for a processor or waited for a disk, against the number of processors.",
    no_data=NOT_HERE,
    width=6,
)

# --- memory

memory = timeseries(
    "Memory",
    here.last(hosts.MEMORY_USAGE, by=hosts.MEMORY_STATE),
    unit=units.BYTES,
    stacked=True,
    colours=MEMORY,
    help="Memory by use; the uses add up to the machine's memory. Cached memory can go when programs need it.",
    no_data=NOT_HERE,
    runbook="HostMemoryPressure",
)
swap = timeseries(
    "Swap",
    here.last(hosts.PAGING_USAGE, by=hosts.PAGING_STATE),
    unit=units.BYTES,
    stacked=True,
    colours={"used": WARN, "free": QUIET},
    help="Swap space by use. Used swap alone is harmless; pages that come back from it all the time are not.",
    no_data=NO_SWAP,
    runbook="HostMemoryPressure",
    width=6,
)
faults = timeseries(
    "Pages from disk and swap",
    here.rate(hosts.PAGING_FAULTS, system_paging_fault_type="major").named("major faults"),
    here.rate(hosts.PAGING_OPERATIONS, by=hosts.PAGING_DIRECTION).named("swap"),
    unit=units.PER_SECOND,
    help="Page faults that had to read a disk, and pages moved to (out) and from (in) swap.",
    no_data=NOT_HERE,
    runbook="HostMemoryPressure",
    width=6,
)
kills = stat(
    "Killed",
    here.increase(hosts.OOM_KILLS),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=0.5),
    help="Processes that the kernel killed for want of memory in the time range.",
    no_data=NOT_HERE,
    runbook="HostOomKill",
    width=3,
)

# --- disks and file systems

disk_io = timeseries(
    "Disk traffic",
    here.rate(hosts.DISK_IO, by=(hosts.DEVICE, hosts.IO_DIRECTION)),
    unit=units.BYTES_PER_SECOND,
    help="Bytes read and written, by device.",
    no_data=NOT_HERE,
    runbook="HostIoPressure",
)
disk_wait = timeseries(
    "Time of a disk request",
    here.rate(hosts.DISK_OPERATION_TIME, by=(hosts.DEVICE, hosts.IO_DIRECTION))
    / (here.rate(hosts.DISK_OPERATIONS, by=(hosts.DEVICE, hosts.IO_DIRECTION)) > 0),
    unit=units.SECONDS,
    help="Mean time that a request took, waiting in the queue included. A local SSD needs less than a millisecond.",
    no_data="No disk had requests",
    runbook="HostIoPressure",
)
disk_busy = timeseries(
    "Disks busy",
    here.rate(hosts.DISK_IO_TIME, by=hosts.DEVICE),
    unit=units.SHARE,
    help="Share of time in which a device had work. An SSD at 100 % may still take more; a hard disk may not.",
    no_data=NOT_HERE,
    runbook="HostIoPressure",
    width=6,
)
file_systems = table(
    "File systems here",
    [label.name for label in DISK],
    [
        Column("Size", space("used", "free", "reserved"), units.BYTES),
        Column("Free", space("free"), units.BYTES),
        Column("Used", space("used") / (space("used", "free") > 0), units.SHARE, meaning=DISKS),
        Column(
            "Full in",
            space("free") / (here.slope(hosts.FILESYSTEM_USAGE, by=DISK, system_filesystem_state="used") > 0),
            units.DURATION,
            meaning=Limits(warn=7 * 86400, bad=86400, falling=True),
        ),
        Column("Inodes", inodes("used") / (inodes("used", "free", "reserved") > 0), units.SHARE, meaning=DISKS),
        Column("Read-only", here.last(hosts.FILESYSTEM_READ_ONLY, by=DISK), units.PLAIN),
        Column("Stuck", here.last(hosts.FILESYSTEM_STUCK, by=DISK), units.PLAIN, meaning=Limits(0.5, 0.5)),
    ],
    titles={hosts.FILESYSTEM_TYPE.name: "Type", hosts.MOUNTPOINT.name: "Mounted at"},
    sort="Used",
    help="Full in: when it is full if it goes on as in the time range on the screen; a dash: it does not grow. Inodes: "
    "share of the number of files that it can hold. Read-only, Stuck: 1 is yes; what is stuck shows no space.",
    no_data=NOT_HERE,
    runbook="HostDiskFillsUp",
    height=7,
)

dashboard = board(
    "host",
    "One host",
    question="Is this host saturated, what fills up, and what runs on it?",
    variables=[Variable(HOST, hosts.INFO, title="Host", one=True)],
    leads_to=[("hosts", "All hosts")],
    alerts="hosts",
    alerts_where='severity!="info",host_name=~"$host_name"',
    since="now-3h",
    rows=[
        answer(*answers),
        row("", machine),
        row("Is it saturated", pressure, cpu, load),
        row("Memory", memory, swap, faults, kills),
        row("Disks", disk_io, disk_wait, disk_busy),
        row("", file_systems),
        row("Network and temperatures", parts.network, parts.network_faults, parts.temperatures),
        row("What runs on it", parts.top_cpu, parts.top_memory, parts.groups),
        row("Its own container", parts.container_cpu, parts.throttled, parts.container_memory, parts.memory_events),
        row("GPUs of the host", parts.gpu_use, parts.gpu_memory, parts.gpu_power),
        row("", parts.gpu_table),
        row("Its sidecar", parts.spool, parts.spooled, parts.sink, parts.cost),
    ],
)
