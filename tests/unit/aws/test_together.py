"""Several targets at once: one that hangs or fails takes nothing from the others."""

from __future__ import annotations

import threading

from fleetwatch.aws.calls import Trouble
from fleetwatch.aws.together import THREADS, each


def test_each_target_gets_its_answer_or_its_failure() -> None:
    def work(number: int) -> int:
        return 10 // number

    found = each([1, 2, 0], work, 5)
    assert (found[1], found[2]) == (10, 5)
    assert isinstance(found[0], ZeroDivisionError)


def test_targets_that_hang_do_not_hold_up_the_others() -> None:
    wake = threading.Event()

    def work(name: str) -> str:
        if name.startswith("hangs"):
            wake.wait(20)
        return name

    found = each([*(f"hangs {number}" for number in range(THREADS - 1)), "a", "b"], work, 0.5)
    wake.set()
    assert (found["a"], found["b"]) == ("a", "b")
    late = found["hangs 0"]
    assert isinstance(late, Trouble)
    assert late.cause == "unreachable"
    assert late.why == "no answer within 0.5 s"


def test_more_targets_than_threads_are_all_asked() -> None:
    targets = list(range(5 * THREADS))
    assert each(targets, lambda number: number, 10) == {number: number for number in targets}


def test_nothing_to_ask_is_no_work() -> None:
    assert each([], lambda number: number, 1) == {}
