"""Many questions at once, of which some are never answered."""

from __future__ import annotations

import threading
import time
from functools import partial

from fleetwatch.collect.hosts._patience import MOST, Patience


def answer(number: int, seconds: float) -> int:
    time.sleep(seconds)  # as a server does, away from the interpreter
    return number


def test_what_was_not_asked_in_time_is_left_out_and_the_rest_is_right() -> None:
    """Threads go on asking while the time runs out."""
    patience: Patience[int, int] = Patience(0.003)
    left_out = 0
    for _ in range(100):
        found = patience.ask({number: partial(answer, number, 0.0001) for number in range(400)})
        assert all(value in {key, None} for key, value in found.items())
        left_out += 400 - len(found)
    assert left_out


def test_an_error_is_an_answer() -> None:
    def refuse() -> int:
        raise OSError(5, "Input/output error")

    found = Patience[str, int](1.0).ask({"broken": refuse, "well": lambda: 1})
    assert isinstance(found["broken"], OSError)
    assert found["well"] == 1


def test_one_that_hangs_is_not_asked_again_and_room_comes_back_with_its_thread() -> None:
    patience: Patience[int, bool] = Patience(0.02)
    back = threading.Event()
    asked = 0

    def hang() -> bool:
        nonlocal asked
        asked += 1
        return back.wait(30)

    try:
        for _ in range(3):
            assert patience.ask({1: hang}) == {1: None}
        assert asked == 1
        for first in range(10, 50, 10):
            patience.ask(dict.fromkeys(range(first, first + 10), hang))
        assert patience.ask({2: lambda: True}) == {}
        assert asked == MOST
    finally:
        back.set()
    for asker in threading.enumerate():
        if asker.name == "statvfs":
            asker.join(10)
    assert patience.ask({1: lambda: True, 2: lambda: True}) == {1: True, 2: True}
