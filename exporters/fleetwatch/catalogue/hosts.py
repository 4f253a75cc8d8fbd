"""Hosts: every machine, container and accelerator, by OpenTelemetry's `system.*`, `process.*`, `container.*`, `hw.*`.

Where OpenTelemetry has no name yet (pressure, groups of processes, spot notices), ours stand in the same manner.
"""

from __future__ import annotations

from fleetwatch.catalogue.metric import counter, gauge, label

HOST = label(
    "host_name", "Machine, container or pod that the value is about (`host.name`).", at_most=2000, implied=True
)

# --- what the machine is

REGION = label("region", "Cloud region.", at_most=50)
ZONE = label("zone", "Availability zone id, the same in all accounts.", at_most=100)
DEPLOYMENT = label(
    "deployment_type",
    "What kind of machine this is.",
    one_of=("bare_metal", "vm", "ec2", "container", "kubernetes_node", "kubernetes_pod"),
)
INSTANCE_TYPE = label("instance_type", "Machine type of the cloud.", at_most=200)
LIFECYCLE = label(
    "lifecycle", "How the machine is paid for.", one_of=("", "on-demand", "spot", "scheduled", "capacity-block")
)
CPUS = label("cpus", "Logical processors.", at_most=100)
MEMORY_GIB = label("memory_gib", "Memory in GiB, rounded.", at_most=200)
GPUS = label("gpus", "Number of GPUs.", at_most=20)
GPU_MODEL = label("gpu_model", "Model of the first GPU.", at_most=50)
INFO = gauge(
    "host.info",
    unit="",
    help="What the machine is; always 1. What is not known is empty.",
    labels=(HOST, REGION, ZONE, DEPLOYMENT, INSTANCE_TYPE, LIFECYCLE, CPUS, MEMORY_GIB, GPUS, GPU_MODEL),
)

# --- processors, load, memory

CPU_MODE = label(
    "cpu_mode",
    "What the processors did (`cpu.mode`). Time of guests is part of user and nice.",
    one_of=("user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal"),
)
MEMORY_STATE = label("system_memory_state", "Use of memory.", one_of=("used", "free", "cached", "buffers"))
PAGING_STATE = label("system_paging_state", "Use of swap space.", one_of=("used", "free"))
FAULT_TYPE = label("system_paging_fault_type", "major: had to read a disk.", one_of=("major", "minor"))
PAGING_DIRECTION = label("system_paging_direction", "in: from swap to memory.", one_of=("in", "out"))
PRESSURE_RESOURCE = label("pressure_resource", "What tasks waited for.", one_of=("cpu", "memory", "io"))
PRESSURE_KIND = label("pressure_kind", "some: at least one task waited; full: all did.", one_of=("some", "full"))
PROCESS_STATE = label(
    "process_state",
    "State of processes (`process.state`).",
    one_of=("running", "sleeping", "blocked", "stopped", "defunct"),
)
TASK_STATE = label(
    "task_state",
    "running: runs or waits for a processor; blocked: waits for a disk.",
    one_of=("running", "blocked"),
)

LOAD_1M = gauge(
    "system.cpu.load_average.1m",
    unit="{thread}",
    help="Threads that ran or waited, mean over a minute.",
    labels=(HOST,),
)
LOAD_5M = gauge(
    "system.cpu.load_average.5m",
    unit="{thread}",
    help="Threads that ran or waited, mean over 5 minutes.",
    labels=(HOST,),
)
LOAD_15M = gauge(
    "system.cpu.load_average.15m",
    unit="{thread}",
    help="Threads that ran or waited, mean over 15 minutes.",
    labels=(HOST,),
)
CPU_TIME = counter(
    "system.cpu.time", unit="s", help="Processor time of all processors by mode.", labels=(HOST, CPU_MODE)
)
CPU_COUNT = gauge("system.cpu.logical.count", unit="{cpu}", help="Logical processors that are online.", labels=(HOST,))
MEMORY_USAGE = gauge(
    "system.memory.usage",
    unit="By",
    help="Memory by use; the uses add up to the machine's memory. Reclaimable kernel memory counts as cached.",
    labels=(HOST, MEMORY_STATE),
)
MEMORY_LIMIT = gauge("system.memory.limit", unit="By", help="Memory of the machine.", labels=(HOST,))
MEMORY_AVAILABLE = gauge(
    "system.memory.linux.available",
    unit="By",
    help="Memory that programs can still have without swapping, by the kernel's estimate.",
    labels=(HOST,),
)
PAGING_USAGE = gauge("system.paging.usage", unit="By", help="Swap space by use.", labels=(HOST, PAGING_STATE))
PAGING_OPERATIONS = counter(
    "system.paging.operations",
    unit="{operation}",
    help="Pages moved to and from swap.",
    labels=(HOST, PAGING_DIRECTION),
)
PAGING_FAULTS = counter("system.paging.faults", unit="{fault}", help="Page faults.", labels=(HOST, FAULT_TYPE))
PRESSURE_TIME = counter(
    "system.pressure.time",
    unit="s",
    help="Time that tasks lost waiting for a resource (pressure stall information).",
    labels=(HOST, PRESSURE_RESOURCE, PRESSURE_KIND),
)
OOM_KILLS = counter(
    "system.memory.oom_kills",
    unit="{kill}",
    help="Processes that the kernel killed for want of memory.",
    labels=(HOST,),
)
UPTIME = gauge("system.uptime", unit="s", help="Time since the machine booted.", labels=(HOST,))
PROCESS_COUNT = gauge(
    "system.process.count", unit="{process}", help="Processes by state.", labels=(HOST, PROCESS_STATE)
)
PROCESSES_CREATED = counter(
    "system.process.created", unit="{process}", help="Processes created since boot.", labels=(HOST,)
)
TASKS = gauge(
    "system.cpu.tasks",
    unit="{thread}",
    help="Threads that run, wait for a processor, or wait for a disk, at this moment.",
    labels=(HOST, TASK_STATE),
)

# --- disks, file systems, network, temperatures

DEVICE = label("system_device", "Block device.", at_most=64)
IO_DIRECTION = label("disk_io_direction", "Direction.", one_of=("read", "write"))
MOUNTPOINT = label("system_filesystem_mountpoint", "Where the file system is mounted.", at_most=64)
FILESYSTEM_STATE = label(
    "system_filesystem_state", "Use of space; reserved: free, but only for root.", one_of=("used", "free", "reserved")
)
FILESYSTEM_TYPE = label("system_filesystem_type", "Type of the file system.", at_most=20)
INTERFACE = label("network_interface_name", "Network interface.", at_most=64)
NETWORK_DIRECTION = label("network_io_direction", "Direction.", one_of=("receive", "transmit"))
HW = label("hw_id", "Sensor, or number of the GPU; 0/1 is instance 1 of GPU 0 (MIG).", at_most=64)

DISK_IO = counter("system.disk.io", unit="By", help="Bytes moved.", labels=(HOST, DEVICE, IO_DIRECTION))
DISK_OPERATIONS = counter(
    "system.disk.operations", unit="{operation}", help="Requests completed.", labels=(HOST, DEVICE, IO_DIRECTION)
)
DISK_OPERATION_TIME = counter(
    "system.disk.operation_time",
    unit="s",
    help="Time that requests took, summed over requests.",
    labels=(HOST, DEVICE, IO_DIRECTION),
)
DISK_IO_TIME = counter(
    "system.disk.io_time", unit="s", help="Time during which the device had work.", labels=(HOST, DEVICE)
)
FILESYSTEM_USAGE = gauge(
    "system.filesystem.usage",
    unit="By",
    help="Space of file systems by use; the uses add up to the size.",
    labels=(HOST, MOUNTPOINT, FILESYSTEM_TYPE, FILESYSTEM_STATE),
)
FILESYSTEM_INODES = gauge(
    "system.filesystem.inodes",
    unit="{inode}",
    help="Inodes of file systems by use; absent where the type has no fixed number.",
    labels=(HOST, MOUNTPOINT, FILESYSTEM_TYPE, FILESYSTEM_STATE),
)
FILESYSTEM_READ_ONLY = gauge(
    "system.filesystem.read_only",
    unit="",
    help="Whether the file system is mounted read-only.",
    labels=(HOST, MOUNTPOINT, FILESYSTEM_TYPE),
)
FILESYSTEM_STUCK = gauge(
    "system.filesystem.stuck",
    unit="",
    help="Whether the file system does not answer (a file server that is gone); its space is not shown then.",
    labels=(HOST, MOUNTPOINT, FILESYSTEM_TYPE),
)
NETWORK_IO = counter("system.network.io", unit="By", help="Bytes moved.", labels=(HOST, INTERFACE, NETWORK_DIRECTION))
NETWORK_PACKETS = counter(
    "system.network.packet.count", unit="{packet}", help="Packets.", labels=(HOST, INTERFACE, NETWORK_DIRECTION)
)
NETWORK_ERRORS = counter(
    "system.network.errors", unit="{error}", help="Packets with errors.", labels=(HOST, INTERFACE, NETWORK_DIRECTION)
)
NETWORK_DROPPED = counter(
    "system.network.packet.dropped",
    unit="{packet}",
    help="Packets dropped.",
    labels=(HOST, INTERFACE, NETWORK_DIRECTION),
)
NETWORK_UP = gauge("system.network.up", unit="", help="Whether the interface is up.", labels=(HOST, INTERFACE))
TEMPERATURE = gauge("hw.temperature", unit="Cel", help="Temperature of a sensor or GPU.", labels=(HOST, HW))

# --- processes, in groups: never one series for one process

GROUP = label("process_group", "Group of processes: a rule of host.process_groups, else none.", at_most=50)
PROGRAM = label("process_executable_name", "Name of the program.", at_most=40)

GROUP_PROCESSES = gauge(
    "process.group.processes", unit="{process}", help="Processes in the group.", labels=(HOST, GROUP)
)
GROUP_CPU_TIME = counter(
    "process.group.cpu.time",
    unit="s",
    help="Processor time of the group's processes since they were first seen, those that have ended among them.",
    labels=(HOST, GROUP, CPU_MODE),
)
GROUP_MEMORY = gauge(
    "process.group.memory.usage",
    unit="By",
    help="Resident memory; shared pages count in each process.",
    labels=(HOST, GROUP),
)
GROUP_VIRTUAL = gauge("process.group.memory.virtual", unit="By", help="Address space.", labels=(HOST, GROUP))
GROUP_THREADS = gauge("process.group.thread.count", unit="{thread}", help="Threads.", labels=(HOST, GROUP))
GROUP_FAULTS = counter(
    "process.group.paging.faults", unit="{fault}", help="Page faults.", labels=(HOST, GROUP, FAULT_TYPE)
)
GROUP_FILES = gauge(
    "process.group.file_descriptor.count",
    unit="{file_descriptor}",
    help="Open files and sockets of the processes that may be looked at.",
    labels=(HOST, GROUP),
)
GROUP_DISK_IO = counter(
    "process.group.disk.io",
    unit="By",
    help="Bytes moved from and to disks, of the processes that may be looked at.",
    labels=(HOST, GROUP, IO_DIRECTION),
)
GROUP_UPTIME = gauge(
    "process.group.uptime", unit="s", help="Time since the group's oldest process started.", labels=(HOST, GROUP)
)
TOP_CPU = gauge(
    "process.top.cpu.usage",
    unit="{cpu}",
    help="Processors in use by the programs that use most, all processes of a name together.",
    labels=(HOST, PROGRAM),
)
TOP_MEMORY = gauge(
    "process.top.memory.usage",
    unit="By",
    help="Resident memory of the programs that have most, all processes of a name together.",
    labels=(HOST, PROGRAM),
)

# --- the own container or pod (cgroup v2)

CGROUP_EVENT = label(
    "container_memory_event",
    "What happened at a limit of memory: throttled at high, stopped at max, out of memory, killed.",
    one_of=("high", "max", "oom", "oom_kill"),
)

CONTAINER_CPU_TIME = counter(
    "container.cpu.time", unit="s", help="Processor time of the container.", labels=(HOST, CPU_MODE)
)
CONTAINER_CPU_LIMIT = gauge(
    "container.cpu.limit",
    unit="{cpu}",
    help="Processors that the container may use; absent without a limit.",
    labels=(HOST,),
)
CONTAINER_CPU_PERIODS = counter(
    "container.cpu.periods", unit="{period}", help="Enforcement periods of the limit that have passed.", labels=(HOST,)
)
CONTAINER_CPU_THROTTLED_PERIODS = counter(
    "container.cpu.throttled_periods",
    unit="{period}",
    help="Periods in which the container was stopped.",
    labels=(HOST,),
)
CONTAINER_CPU_THROTTLED = counter(
    "container.cpu.throttled_time",
    unit="s",
    help="Time for which the container's threads were stopped.",
    labels=(HOST,),
)
CONTAINER_MEMORY = gauge(
    "container.memory.usage", unit="By", help="Memory of the container, page cache included.", labels=(HOST,)
)
CONTAINER_WORKING_SET = gauge(
    "container.memory.working_set", unit="By", help="Memory without the file cache that can go.", labels=(HOST,)
)
CONTAINER_MEMORY_LIMIT = gauge(
    "container.memory.limit",
    unit="By",
    help="Memory that the container may have; absent without a limit.",
    labels=(HOST,),
)
CONTAINER_MEMORY_EVENTS = counter(
    "container.memory.events", unit="{event}", help="Events at limits of memory.", labels=(HOST, CGROUP_EVENT)
)
CONTAINER_PRESSURE = counter(
    "container.pressure.time",
    unit="s",
    help="Time that the container's tasks lost waiting for a resource.",
    labels=(HOST, PRESSURE_RESOURCE, PRESSURE_KIND),
)
CONTAINER_PIDS = gauge("container.pids.count", unit="{thread}", help="Threads and processes.", labels=(HOST,))
CONTAINER_PIDS_LIMIT = gauge(
    "container.pids.limit",
    unit="{thread}",
    help="Threads and processes allowed; absent without a limit.",
    labels=(HOST,),
)
CONTAINER_DISK_IO = counter(
    "container.disk.io", unit="By", help="Bytes moved, all devices together.", labels=(HOST, IO_DIRECTION)
)

# --- GPUs

GPU_TASK = label("hw_gpu_task", "What the GPU did.", one_of=("general", "encoder", "decoder"))
GPU_CLOCK = label("hw_gpu_clock", "Which clock.", one_of=("graphics", "sm", "memory"))
GPU_UUID = label("uuid", "Identity that the driver gives the GPU, as `nvidia-smi -L` lists it.", at_most=64)
GPU_NAME = label("model", "Model of the GPU.", at_most=20)
DRIVER = label("driver", "Version of the driver.", at_most=10)
MIG_PROFILE = label("mig_profile", "Profile of the MIG instance, else empty.", at_most=20)
GPU_ERROR = label("error_type", "Kind of memory error.", one_of=("corrected", "uncorrected"))
XID = label("xid", "Number of the driver's error, see NVIDIA's list of Xid errors, which has fewer.", at_most=400)
THROTTLE_REASON = label(
    "hw_gpu_throttle_reason",
    "Why the clocks are lower than they could be.",
    one_of=("power", "thermal", "hardware_slowdown", "power_brake", "sync", "other"),
)

GPU_INFO = gauge(
    "hw.gpu.info",
    unit="",
    help="What the GPU is; always 1.",
    labels=(HOST, HW, GPU_UUID, GPU_NAME, DRIVER, MIG_PROFILE),
)
GPU_UTILIZATION = gauge(
    "hw.gpu.utilization",
    unit="1",
    help="Share of time in which the GPU worked, over the driver's last sampling period.",
    labels=(HOST, HW, GPU_TASK),
)
GPU_MEMORY_USAGE = gauge("hw.gpu.memory.usage", unit="By", help="Memory of the GPU in use.", labels=(HOST, HW))
GPU_MEMORY_LIMIT = gauge("hw.gpu.memory.limit", unit="By", help="Memory of the GPU.", labels=(HOST, HW))
GPU_POWER = gauge("hw.power", unit="W", help="Power that the GPU draws.", labels=(HOST, HW))
GPU_POWER_LIMIT = gauge("hw.power.limit", unit="W", help="Power that the GPU may draw.", labels=(HOST, HW))
GPU_ENERGY = counter(
    "hw.energy", unit="J", help="Energy that the GPU used since the driver was loaded.", labels=(HOST, HW)
)
GPU_FREQUENCY = gauge(
    "hw.gpu.frequency", unit="Hz", help="Frequency of the GPU's clocks.", labels=(HOST, HW, GPU_CLOCK)
)
GPU_ERRORS = counter(
    "hw.errors", unit="{error}", help="Memory errors (ECC) since the driver was loaded.", labels=(HOST, HW, GPU_ERROR)
)
GPU_XIDS = counter("hw.gpu.xid", unit="{error}", help="Errors that the driver reported.", labels=(HOST, HW, XID))
GPU_THROTTLED = gauge(
    "hw.gpu.throttled",
    unit="",
    help="Whether the GPU is slowed down for this reason.",
    labels=(HOST, HW, THROTTLE_REASON),
)

# --- notices of the cloud

ACTION = label("action", "What will happen to the machine.", one_of=("terminate", "stop", "hibernate", "other"))
SPOT_ACTION = gauge(
    "host.spot.action.timestamp",
    unit="s",
    help="When the spot machine will be taken away, Unix time; absent without a notice.",
    labels=(HOST, ACTION),
)
REBALANCE = gauge(
    "host.spot.rebalance.timestamp",
    unit="s",
    help="When the cloud recommended to leave the machine, Unix time; absent without a recommendation.",
    labels=(HOST,),
)

# --- the sidecar: its spool and its reports

SIGNAL = label("signal", "OTLP signal.", one_of=("traces", "metrics", "logs"))
SPOOL_DROP = label(
    "reason",
    "Why items were lost: the spool was full, its disk was, the sink refused them, a record was damaged.",
    one_of=("spool_full", "disk_full", "refused", "damaged"),
)
SPOOL_ACCEPTED = counter(
    "fleetwatch.spool.accepted",
    unit="{item}",
    help="Spans, data points and log records written to the spool.",
    labels=(HOST, SIGNAL),
)
SPOOL_FORWARDED = counter(
    "fleetwatch.spool.forwarded", unit="{item}", help="Items that the sink has taken.", labels=(HOST, SIGNAL)
)
SPOOL_DROPPED = counter(
    "fleetwatch.spool.dropped", unit="{item}", help="Items that were lost.", labels=(HOST, SIGNAL, SPOOL_DROP)
)
SPOOL_SIZE = gauge("fleetwatch.spool.size", unit="By", help="Bytes that wait in the spool.", labels=(HOST,))
SPOOL_LIMIT = gauge("fleetwatch.spool.limit", unit="By", help="Bytes that the spool may take.", labels=(HOST,))
SPOOL_OLDEST = gauge(
    "fleetwatch.spool.oldest_age", unit="s", help="Age of the oldest item that waits; 0 when none does.", labels=(HOST,)
)
SINK_UP = gauge(
    "fleetwatch.sink.up", unit="", help="Whether the last attempt to reach the sink succeeded.", labels=(HOST,)
)
REPORT_INTERVAL = gauge(
    "host.report.interval", unit="s", help="Time between two reports of the host's sidecar.", labels=(HOST,)
)
GOODBYE = gauge(
    "host.goodbye.timestamp", unit="s", help="When the host's sidecar was told to end, Unix time.", labels=(HOST,)
)

# --- the roster: who should be there, and who is

HOST_STATE = label(
    "state",
    "reporting; notice: reporting, to be taken away; goodbye: said so before it fell silent; "
    "reclaimed: fell silent after a notice; missing: fell silent without a word; never_seen: expected by the settings.",
    one_of=("reporting", "notice", "goodbye", "reclaimed", "missing", "never_seen"),
)
STATE = gauge("host.state", unit="", help="1 for the state that the host is in, else 0.", labels=(HOST, HOST_STATE))
EXPECTED = gauge(
    "host.expected",
    unit="",
    help="1 for a host that the settings name or that has been seen for long enough, 0 for a newcomer.",
    labels=(HOST,),
)
LAST_REPORT = gauge(
    "host.last_report.timestamp", unit="s", help="When the host last reported, Unix time.", labels=(HOST,)
)
REPORT_REJECT = label(
    "reason",
    "Why series of a report were not taken: past roster.max_hosts; past roster.max_series or labels.max_series; of a "
    "metric or with labels that this version does not know; of this machine, whose facts the exporter collects itself; "
    "about another host than the one that reported.",
    one_of=("too_many_hosts", "too_many_series", "unknown_metric", "collected_here", "other_host"),
)
REPORTS_REJECTED = counter(
    "fleetwatch.hosts.rejected", unit="{series}", help="Series of hosts that were not taken.", labels=(REPORT_REJECT,)
)
