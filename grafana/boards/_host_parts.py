"""Panels of the board of one host: network, temperatures, programs, container, GPUs, sidecar."""

from __future__ import annotations

from grafana.house import (
    BAD,
    GOOD,
    NEUTRAL,
    QUIET,
    RANGE,
    Column,
    Facts,
    Limits,
    Scope,
    bars,
    state_timeline,
    table,
    timeseries,
    top,
    units,
)

from fleetwatch.catalogue import exporter, hosts

here = Scope(hosts.HOST)
LINE = (hosts.INTERFACE, hosts.NETWORK_DIRECTION)
IS_GPU = here.last(hosts.GPU_INFO, by=hosts.HW)

NOT_HERE = "This host does not report (now)"
NO_CONTAINER = "Not in a container of its own (cgroup v2)"
NO_LIMIT = "Not in a container, or one without a limit"
NO_GPU = "This host has no GPU that the driver shows"
NO_SENSORS = "This machine shows no temperatures (virtual machines have none)"
NO_SPOOL = "No sidecar here that forwards data"
NO_GROUPS = "No process groups: see host.process_groups"

# --- network, temperatures

network = timeseries(
    "Network traffic",
    here.rate(hosts.NETWORK_IO, by=LINE),
    unit=units.BYTES_PER_SECOND,
    help="Bytes received and transmitted, by interface; lo and containers' interfaces are left out.",
    no_data="No interface is watched",
    runbook="HostNetworkErrors",
)
network_faults = timeseries(
    "Faulty and dropped packets",
    here.rate(hosts.NETWORK_ERRORS, by=LINE).named("faulty"),
    here.rate(hosts.NETWORK_DROPPED, by=LINE).named("dropped"),
    unit=units.PER_SECOND,
    help="Packets with errors, and packets dropped. A good line has no errors; a few drops are normal.",
    no_data="No interface is watched",
    runbook="HostNetworkErrors",
)
temperatures = timeseries(
    "Temperatures",
    here.last(hosts.TEMPERATURE, by=hosts.HW),
    unit=units.CELSIUS,
    help="What the machine's sensors and its GPUs say.",
    no_data=NO_SENSORS,
    runbook="GpuHot",
)

# --- programs

top_cpu = bars(
    "Programs by processors",
    top(10, here.last(hosts.TOP_CPU, by=hosts.PROGRAM)),
    unit=units.CPUS,
    help="Processors in use by the programs that use most, all processes of a name together.",
    no_data=NOT_HERE,
    width=6,
)
top_memory = bars(
    "Programs by memory",
    top(10, here.last(hosts.TOP_MEMORY, by=hosts.PROGRAM)),
    unit=units.BYTES,
    help="Resident memory of the programs that have most, all processes of a name together.",
    no_data=NOT_HERE,
    width=6,
)
groups = table(
    "Process groups",
    [hosts.GROUP.name],
    [
        Column(
            "Processes",
            here.last(hosts.GROUP_PROCESSES, by=hosts.GROUP),
            units.COUNT,
            meaning=Limits(1, 1, falling=True),
        ),
        Column("CPUs", here.rate(hosts.GROUP_CPU_TIME, by=hosts.GROUP, window=RANGE), units.CPUS),
        Column("Memory", here.last(hosts.GROUP_MEMORY, by=hosts.GROUP), units.BYTES),
        Column("Threads", here.last(hosts.GROUP_THREADS, by=hosts.GROUP), units.COUNT),
        Column("Open files", here.last(hosts.GROUP_FILES, by=hosts.GROUP), units.COUNT),
        Column("Runs for", here.last(hosts.GROUP_UPTIME, by=hosts.GROUP), units.DAYS),
    ],
    titles={hosts.GROUP.name: "Group"},
    sort="Memory",
    help="The groups of host.process_groups. CPUs: processors in use, mean over the time range. Runs for: since the "
    "oldest process started.",
    no_data=NO_GROUPS,
    runbook="ProcessGroupDown",
)

# --- the container

container_cpu = timeseries(
    "Container's processors",
    here.rate(hosts.CONTAINER_CPU_TIME).named("in use"),
    here.last(hosts.CONTAINER_CPU_LIMIT).named("limit"),
    unit=units.CPUS,
    colours={"limit": BAD},
    help="Processors that the container uses, and those that it may use. No line for the limit: there is none.",
    no_data=NO_CONTAINER,
    runbook="ContainerThrottled",
)
throttled = timeseries(
    "Stopped at the limit",
    (here.rate(hosts.CONTAINER_CPU_THROTTLED_PERIODS) / (here.rate(hosts.CONTAINER_CPU_PERIODS) > 0)).named("periods"),
    unit=units.SHARE,
    limits=Limits(warn=0.25, bad=0.25),
    help="Share of the limit's periods (0.1 s) in which the container was stopped.",
    no_data=NO_LIMIT,
    runbook="ContainerThrottled",
)
container_memory = timeseries(
    "Container's memory",
    here.last(hosts.CONTAINER_WORKING_SET).named("in use"),
    here.last(hosts.CONTAINER_MEMORY).named("with file cache"),
    here.last(hosts.CONTAINER_MEMORY_LIMIT).named("limit"),
    unit=units.BYTES,
    colours={"limit": BAD, "with file cache": QUIET},
    help="Memory without and with the file cache that can go, against the limit. No line for the limit: there is none.",
    no_data=NO_CONTAINER,
    runbook="ContainerMemoryNearLimit",
)
memory_events = bars(
    "At the memory limit",
    top(4, here.increase(hosts.CONTAINER_MEMORY_EVENTS, by=hosts.CGROUP_EVENT)),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=1e9),
    help="What happened at the container's limits in the time range: slowed down at high, stopped at max, out of "
    "memory (oom), killed (oom_kill).",
    no_data=NO_CONTAINER,
    runbook="ContainerOomKill",
    width=5,
)

# --- GPUs

gpu_use = timeseries(
    "GPUs in use",
    here.last(hosts.GPU_UTILIZATION, by=hosts.HW, hw_gpu_task="general").named("GPU"),
    unit=units.SHARE,
    help="Share of time in which each GPU worked. 100 % says that something ran, not that all of the GPU did.",
    no_data=NO_GPU,
)
gpu_memory = timeseries(
    "GPU memory in use",
    here.last(hosts.GPU_MEMORY_USAGE, by=hosts.HW).named("GPU") / here.last(hosts.GPU_MEMORY_LIMIT, by=hosts.HW),
    unit=units.SHARE,
    help="Memory in use over memory, by GPU and by its parts (0/1 is part 1 of GPU 0).",
    no_data=NO_GPU,
)
gpu_power = timeseries(
    "GPU power",
    here.last(hosts.GPU_POWER, by=hosts.HW).named("draws"),
    here.last(hosts.GPU_POWER_LIMIT, by=hosts.HW).named("may draw"),
    unit=units.WATTS,
    help="Power that each GPU draws, and may draw. At its limit a GPU lowers its clocks: that is how a busy one works.",
    no_data=NO_GPU,
    runbook="GpuThrottled",
    width=6,
)
gpu_table = table(
    "GPUs",
    [hosts.HW.name],
    [
        Column("Degrees", here.last(hosts.TEMPERATURE, by=hosts.HW).where(IS_GPU), units.CELSIUS, Limits(80, 86)),
        Column("Clock", here.last(hosts.GPU_FREQUENCY, by=hosts.HW, hw_gpu_clock="sm"), units.HERTZ),
        Column(
            "Slowed",
            here.last(
                hosts.GPU_THROTTLED,
                by=hosts.HW,
                how="max",
                hw_gpu_throttle_reason=("thermal", "hardware_slowdown", "power_brake"),
            ),
            units.COUNT,
            Limits(0.5, 0.5),
        ),
        Column(
            "Memory errors",
            here.increase(hosts.GPU_ERRORS, by=hosts.HW, error_type="uncorrected"),
            units.COUNT,
            Limits(0.5, 0.5),
        ),
        Column("Driver errors", here.increase(hosts.GPU_XIDS, by=hosts.HW), units.COUNT, Limits(0.5, 0.5)),
    ],
    facts=[
        Facts(
            here.last(hosts.GPU_INFO, by=(hosts.HW, hosts.GPU_NAME, hosts.MIG_PROFILE, hosts.DRIVER)),
            {hosts.GPU_NAME.name: "Model", hosts.MIG_PROFILE.name: "Part", hosts.DRIVER.name: "Driver"},
        )
    ],
    titles={hosts.HW.name: "GPU"},
    sort="Degrees",
    help="Slowed: 1 when heat or hardware lowers the clocks. Memory errors: those that could not be corrected. "
    "Driver errors: Xid. Both in the time range.",
    no_data=NO_GPU,
    runbook="GpuErrors",
    height=5,
)

# --- the sidecar

spool = timeseries(
    "Spool",
    here.last(hosts.SPOOL_SIZE).named("waits"),
    here.last(hosts.SPOOL_LIMIT).named("limit"),
    unit=units.BYTES,
    colours={"limit": BAD},
    help="Bytes that wait for the sink, against what the spool may take. Past it the oldest data is lost first.",
    no_data=NO_SPOOL,
    runbook="SpoolFilling",
)
spooled = timeseries(
    "Items through the spool",
    here.rate(hosts.SPOOL_ACCEPTED).named("accepted"),
    here.rate(hosts.SPOOL_FORWARDED).named("forwarded"),
    here.rate(hosts.SPOOL_DROPPED).named("lost"),
    unit=units.PER_SECOND,
    colours={"accepted": NEUTRAL, "forwarded": GOOD, "lost": BAD},
    help="Spans, data points and log records: taken from applications, taken by the sink, lost.",
    no_data=NO_SPOOL,
    runbook="SpoolDropping",
)
sink = state_timeline(
    "Sink and collectors",
    here.last(hosts.SINK_UP, how="min").named("sink"),
    here.last(exporter.COLLECTOR_SUCCESS, by=exporter.COLLECTOR, how="min"),
    mappings={"1": ("Works", GOOD), "0": ("Failed", BAD)},
    help="Whether the last attempt to reach the sink, and each collector's last cycle, succeeded.",
    no_data=NOT_HERE,
    runbook="SinkDown",
)
cost = timeseries(
    "The watcher's own memory",
    here.last(exporter.PROCESS_MEMORY).named("memory"),
    unit=units.BYTES,
    help="Resident memory of fleetwatch on this host.",
    no_data=NOT_HERE,
    width=5,
)
