"""Small helpers that many tests share."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(check: Callable[[], T], timeout: float = 10.0, what: str = "the condition", interval: float = 0.05) -> T:
    """The first truthy result of `check` before the deadline; else AssertionError naming `what` and the last result.

    An exception of `check` counts as "not yet".
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            result = check()
            if result:
                return result
            last = result
        except Exception as error:  # the thing under test may not be up yet; the last error is shown
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s for {what}; last: {last!r}")
        time.sleep(interval)


_FIRST_PORT, _PORTS, _WORKERS = 20_000, 2_000, 6
"""Ports below those that the kernel gives to connections, and a range of them for each worker of the tests: so what was
free a moment ago is still free when a program takes it."""
_given: set[int] = set()
_chance = random.SystemRandom()


def free_port() -> int:
    """A loopback port that nobody has, and that was not given in this process before."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    first = _FIRST_PORT + worker * _PORTS
    if len(_given) > _PORTS // 2:
        _given.clear()
    while True:
        port = _chance.randrange(first, first + _PORTS)
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
