"""What workers of multiprocessing do in tests: it must be in a module that they can import."""

from __future__ import annotations

import time


def square(number: int) -> int:
    """It takes 0.15 s of processor time."""
    until = time.process_time() + 0.15
    while time.process_time() < until:
        sum(range(500))
    return number * number
