"""AWS for a fleet: services that were used, and an exporter that has looked at them for an hour.

What they tell is made up (see support_ai_services), its way is the real one: the exporter asks a CloudWatch on loopback
as it asks AWS's. Values arrive bit by bit, so that counters grow while Prometheus looks.

with ai_services_in_use(folder) as settings:
    ...  # settings: sections for the exporter, whose data is in folder / "data"
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fleetwatch.collect.ai_services._store import VERSION
from support_ai_services import SOURCES
from support_aws import NOW
from support_cloudwatch import THROTTLED, CloudWatch

ACCOUNT, REGION = "prod", "eu-west-1"
LOOKED = 3600
"""Seconds that the exporter has been looking."""
ARRIVING = 120
"""Seconds over which values go on to arrive."""
IDENTITY = {
    "AWS_ACCESS_KEY_ID": "own-key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


class LiveCloudWatch(CloudWatch):
    """Whose clock is the machine's."""

    @property
    def now(self) -> float:
        return time.time()

    @now.setter
    def now(self, value: float) -> None:
        """It goes by itself."""


@contextlib.contextmanager
def ai_services_in_use(folder: Path) -> Iterator[dict[str, Any]]:
    """Until the block ends."""
    with LiveCloudWatch(0.0) as cloud:
        _use(cloud)
        # Now and then AWS finds that too much is asked.
        cloud.refuse["*", "GetMetricData"] = [THROTTLED, None, None, None, None] * 500
        _has_looked(folder / "data" / "collect")
        threading.Thread(target=cloud.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        aws = {"enabled": True, "regions": [REGION], "accounts": [{"name": ACCOUNT}], "endpoint_url": cloud.url}
        try:
            with patch.dict(os.environ, IDENTITY):
                yield {"aws": aws, "collect": {_name(kind): {"interval": 2} for kind in SOURCES}}
        finally:
            cloud.released.set()
            cloud.shutdown()
        assert cloud.wrong == []


def _use(cloud: CloudWatch) -> None:
    """Twenty minutes of everything, the last of them some minutes ago. Of each series the first value is there."""
    for fill in SOURCES.values():
        fill(cloud)
    now = time.time()
    later = now // 300 * 300 - 1500 - NOW
    seen: set[object] = set()
    for place, item in enumerate(cloud.values):
        series = (item.namespace, item.metric, item.dimensions)
        # Steps of 7 seconds, round and round: the values of a series do not arrive together.
        wait = place * 7 % ARRIVING if series in seen else 0
        seen.add(series)
        cloud.values[place] = item._replace(time=item.time + later, visible=now - 1 + wait)


def _has_looked(folder: Path) -> None:
    """As the sources keep it: they have begun, and have counted nothing yet."""
    folder.mkdir(parents=True, exist_ok=True)
    began = int(time.time() // 60 * 60) - LOOKED
    for kind in SOURCES:
        states = [
            {
                "service": namespace.service,
                "account": ACCOUNT,
                "region": REGION,
                "begun": began,
                "read_until": began,
                "counters": [],
            }
            for namespace in kind.namespaces
        ]
        file = folder / f"{_name(kind)}.json"
        file.write_text(json.dumps({"version": VERSION, "states": states}), encoding="utf-8")


def _name(kind: type) -> str:
    return kind.__module__.rpartition(".")[2]
