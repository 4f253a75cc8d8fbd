"""The thread that forces data to the disk outlives whoever waits for it, and whatever the disk says."""

from __future__ import annotations

import errno
import logging
import threading

import pytest

from fleetwatch.spool.sync import Syncer


def test_a_sync_that_nobody_waits_for_any_more_harms_no_other() -> None:
    going, done = threading.Event(), threading.Event()

    def sync() -> None:
        going.set()
        assert done.wait(5)

    syncer = Syncer(sync, 0.0)
    first = syncer.synced()
    assert going.wait(5)
    given_up, next_one = syncer.synced(), syncer.synced()
    assert given_up.cancel()
    done.set()
    first.result(5)
    next_one.result(5)
    syncer.synced().result(5)
    syncer.stop()


def test_a_disk_that_cannot_be_synced_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failures = [OSError(errno.EIO, "Input/output error")] * 3

    def sync() -> None:
        if failures:
            raise failures.pop()

    syncer = Syncer(sync, 0.0)
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output error"):
            syncer.synced().result(5)
    syncer.synced().result(5)
    syncer.stop()
    assert [record.message for record in caplog.records] == [
        "the spool cannot be forced to the disk: Input/output error",
        "the spool is forced to the disk again",
    ]
