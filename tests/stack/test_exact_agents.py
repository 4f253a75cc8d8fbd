"""Tasks, tool calls, edges, evaluations and what tasks cost are exact, whatever dies or fills up on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support import wait_for
from support_collector import Gateway
from support_disk import small_disk
from support_house import House
from support_stack import post
from support_work import Work, shown

pytestmark = pytest.mark.stack

HURRIED = {"agents": {"trace_grace": 1, "trace_quiet": 3}}
TRACES = 40
"""Made and sent at a time."""
PAUSE = 0.01
"""Seconds between two requests."""
ACCEPTED = 200


class Sender:
    """Sends in the background until it is enough, each body until it was accepted, every fifth once more."""

    def __init__(self, endpoint: str, work: Work) -> None:
        self.sent = 0
        self._work = work
        self._is_enough = threading.Event()
        self._stop = threading.Event()
        self._url = f"http://{endpoint}/v1/traces"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_enough.is_set():
            for body in self._work.bodies(TRACES):
                for _ in range(2 if self.sent % 5 == 0 else 1):
                    while not self._stop.is_set() and not self._accepted(body):
                        self._stop.wait(PAUSE)
                self.sent += 1
                self._stop.wait(PAUSE)

    def _accepted(self, body: bytes) -> bool:
        try:
            return post(self._url, body) == ACCEPTED
        except OSError:
            return False

    def has_sent(self, bodies: int) -> bool:
        """Whether that many were accepted."""
        return self.sent >= bodies

    def finish(self) -> None:
        """Send what was begun, and no more."""
        self._is_enough.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), f"{self.sent} bodies sent"

    def stop(self) -> None:
        self._is_enough.set()
        self._stop.set()
        self._thread.join(30)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "exporter", HURRIED) as running:
        yield running


def under_load(endpoint: str, work: Work, trouble: Callable[[Sender], None]) -> None:
    """Send work while there is trouble; on return all of it was accepted."""
    sender = Sender(endpoint, work)
    try:
        trouble(sender)
        sender.finish()
    finally:
        sender.stop()


def check(house: House, work: Work) -> None:
    truth = +work.truth

    def equal() -> bool:
        found = shown(house)
        assert found == truth, {key: (found[key], truth[key]) for key in found | truth if found[key] != truth[key]}
        return True

    wait_for(equal, 40, "the truth on /metrics")
    # And once more from the file alone.
    house.kill9()
    house.start()
    wait_for(equal, 40, "the truth on /metrics after a restart")
    assert house.stop() == 0
    verified = house.run("ledger", "verify")
    assert verified.returncode == 0, verified.stderr


def kills(house: House, times: int) -> Callable[[Sender], None]:
    def kill(sender: Sender) -> None:
        for number in range(times):
            before = sender.sent
            # At other moments each time: amid commits, settling, checkpoints.
            wait_for(partial(sender.has_sent, before + 3), 30, "bodies", 0.003)
            threading.Event().wait(0.007 * (number % 5))
            house.kill9()
            house.start()

    return kill


def test_kills_amid_agents_work_change_no_figure(house: House) -> None:
    work = Work(1)
    under_load(house.http, work, kills(house, 10))
    check(house, work)


def test_nor_do_kills_behind_the_collector(tmp_path: Path) -> None:
    """It has four senders, each of which tries again after up to 7.5 s: calls come that much after their task.

    So this one has the settings that are shipped: a task waits longer than that for its calls.
    """
    work = Work(2)
    with House(tmp_path / "exporter") as house:
        gateway = Gateway(tmp_path, house.http)
        with gateway.up():
            under_load(gateway.http, work, kills(house, 4))
            check(house, work)


def test_a_full_and_a_read_only_disk_amid_agents_work_change_no_figure(tmp_path: Path) -> None:
    work = Work(3)
    with small_disk(tmp_path / "disk", mebibytes=24) as disk, House(tmp_path, HURRIED, data=disk.path) as house:

        def trouble(sender: Sender) -> None:
            for _ in range(3):
                before = sender.sent
                wait_for(partial(sender.has_sent, before + 6), 30, "bodies", 0.003)
                disk.fill()
                wait_for(lambda: house.get("/readyz")[0] == 503, 30, "the disk to be full")
                disk.free()
                wait_for(lambda: house.get("/readyz")[0] == 200, 30, "readiness")
            house.kill9()
            disk.remount("ro")
            house.start("/healthz")
            assert house.get("/readyz")[0] == 503
            disk.remount("rw")
            wait_for(lambda: house.get("/readyz")[0] == 200, 30, "readiness")

        under_load(house.http, work, trouble)
        check(house, work)
