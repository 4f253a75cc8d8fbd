"""Storage for a fleet: volumes, snapshots and images in a loopback AWS, some of which nobody has used for weeks.

with storage_in_use(cloud, folder, "prod", "eu-west-1") as settings:
    ...  # settings: sections for the exporter, whose data is in folder / "data", beside those that name the account
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import support_ec2_answers
from fleetwatch.collect.storage._clock import Clock, Where
from support_ec2 import OWN, Ec2
from support_storage import DAY, Store

UNPRICED = "gp9"
"""A type that no table has."""


@contextlib.contextmanager
def storage_in_use(cloud: Ec2, folder: Path, account: str, region: str) -> Iterator[dict[str, Any]]:
    """Until the block ends. account: what the settings call the cloud's own one."""
    store = Store(cloud)
    unused = list(_fill(store, region))
    for name in ("volumes", "snapshots"):
        clock = Clock(folder / "data" / "collect" / f"{name}.json")
        ago = clock.now(cloud.now - 30 * DAY)
        clock.seen(Where(account, region), unused, ago)
        clock.save()
    with patch("support_ec2_door.ANSWERS", {**support_ec2_answers.ANSWERS, **store.answers()}):
        yield {"storage": {"enabled": True}, "collect": {"volumes": {"interval": 2}, "snapshots": {"interval": 2}}}


def _fill(store: Store, region: str) -> Iterator[str]:
    """Gives those that are unused for long; one of each kind is so only now."""
    of: dict[str, Any] = {"account": OWN, "region": region}
    free = {"State": "available", **of}
    used = [store.volume(kind, 200, **of) for kind in ("gp3", "gp2", "st1")]
    store.volume("io2", 100, Iops=4000, **of)  # whose price is not confirmed
    store.volume(UNPRICED, 10, **free)
    for volume in used:
        store.snapshot(200, VolumeId=volume, **of)
    store.image(store.snapshot(30, **of), launched=store.cloud.now - DAY, **of)
    yield from (store.volume(kind, gib, **free) for kind, gib in (("gp3", 500), ("gp2", 80), ("st1", 2000)))
    yield store.snapshot(500, StorageTier="archive", **of)
    yield store.snapshot(300, **of)
    yield store.image(store.snapshot(8, **of), store.snapshot(100, **of), **of)
    store.volume("gp3", 50, **free)
    store.snapshot(40, **of)
    store.image(store.snapshot(20, **of), **of)
