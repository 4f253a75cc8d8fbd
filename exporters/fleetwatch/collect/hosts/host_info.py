"""What the machine is, for boards to group by and join with.

host_info{region="eu-central-1",deployment_type="ec2",instance_type="p5.48xlarge",lifecycle="spot",cpus="192",…} 1
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._kind import hardware_of, kind
from fleetwatch.collect.hosts._read import count_of, read, text
from fleetwatch.collect.runner import source

_MODEL = re.compile(r"^Model:\s*(.+)$", re.MULTILINE)


# As often as the others: what the cloud says of the machine comes some seconds after the start.
@source(interval=15)
class HostInfo:
    """Finds out once what the machine is made of."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._hardware = ""

    def __call__(self) -> Iterator[Sample]:
        """The settings win over what the cloud says; what nobody says is empty."""
        here, facts = self._here, self._here.facts
        self._hardware = self._hardware or hardware_of(here)
        count, model = gpus(here)
        yield hosts.INFO(
            1,
            region=here.region or facts.get("region", ""),
            zone=here.zone or facts.get("zone", ""),
            deployment_type=kind(here, hardware=self._hardware),
            instance_type=facts.get("instance_type", ""),
            lifecycle=facts.get("lifecycle", ""),
            cpus=str(read(f"{here.proc}/stat").count(b"\ncpu")),
            memory_gib=memory_gib(count_of(b"\n" + read(f"{here.proc}/meminfo"), b"MemTotal:")),
            gpus=facts.get("gpus") or count,
            gpu_model=facts.get("gpu_model") or model,
        )


def memory_gib(kib: int) -> str:
    """Whole GiB, as machines are sold; small machines with one digit more."""
    gib = kib / 2**20
    return f"{gib:.0f}" if gib >= 1 else f"{gib:.1f}"


def gpus(here: Here) -> tuple[str, str]:
    """Number and first model of the GPUs that NVIDIA's driver lists; empty without that driver."""
    files = sorted(glob.glob(f"{glob.escape(str(here.proc))}/driver/nvidia/gpus/*/information"))
    if not files:
        return "", ""
    model = _MODEL.search(text(files[0]))
    return str(len(files)), model[1].strip() if model else ""
