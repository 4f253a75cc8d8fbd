"""A writer of a ledger on a loop of its own, as sources' threads know it; and a source that reads queues into it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fleetwatch.app.commits import Commits
from fleetwatch.app.writer import Writer
from fleetwatch.aws import Access
from fleetwatch.aws.session import Aws
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.here import Commit, Here, SpotAccess, SpotQueue
from fleetwatch.collect.runner import Incomplete
from fleetwatch.collect.spot.interruption_events import InterruptionEvents
from fleetwatch.ledger import Ledger
from support_aws import NOW
from support_ledger import BOOK


@contextmanager
def commits(path: Path) -> Iterator[Commits]:
    """The way into the ledger at `path`, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    writer = Writer(
        lambda: Ledger(path, BOOK, clock=lambda: NOW * 10**9),
        opened=lambda _: None,
        committed=lambda *_: None,
        failed=lambda _: None,
    )
    way = Commits(writer.sink)

    async def begin() -> None:
        writer.open()
        way.open()

    async def end() -> None:
        writer.finish()
        writer.close()

    asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield way
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class Reading:
    """A source, and what came of its last cycle."""

    def __init__(self, aws: Aws, commit: Commit | None, *queues: SpotQueue) -> None:
        self.here = Here(aws=aws, spot=SpotAccess(queues=queues), commit=commit, clock=lambda: NOW)
        self.source = InterruptionEvents(self.here)
        self.samples: list[Sample] = []
        self.failure: Incomplete | None = None

    def look(self) -> None:
        self.samples, self.failure = [], None
        try:
            self.samples.extend(self.source())
        except Incomplete as error:
            self.failure = error

    def value(self, metric: Metric, *labels: str) -> float | None:
        found = [sample.value for sample in self.samples if sample.metric is metric and sample.labels == labels]
        assert len(found) <= 1
        return found[0] if found else None


def counted(path: Path, metric: Metric) -> dict[tuple[str, ...], int]:
    """What the file holds of a counter."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = db.execute("SELECT labels, value FROM counts WHERE metric = ?", (metric.name,)).fetchall()
    finally:
        db.close()
    return {tuple(json.loads(text)): value for text, value in rows if value}


def die_after_commit(path: Path, endpoint: str, url: str) -> None:
    """Read a queue, and be killed when its first records are on disk and nothing is deleted yet."""
    with commits(path) as way:
        aws = Aws(Access(("us-east-1",), timeout=5.0, attempts=1, endpoint_url=endpoint))

        def commit(records: Sequence[object]) -> None:
            way.commit(records)
            os.kill(os.getpid(), signal.SIGKILL)

        Reading(aws, commit, SpotQueue(url, "us-east-1")).look()
