"""Several targets at once: one that hangs or fails takes nothing from the others."""

from __future__ import annotations

import threading

from fleetwatch.aws.calls import Trouble
from fleetwatch.aws.together import THREADS, each
from support import wait_for


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


def test_a_target_that_hangs_gets_no_second_thread_and_a_queue_ends_with_its_call() -> None:
    wake = threading.Event()
    asked: list[str] = []
    hanging: set[str] = set()

    def work(name: str) -> str:
        asked.append(name)
        if name.startswith("hangs"):
            wake.wait(20)
        return name

    hang = [f"hangs {number}" for number in range(THREADS)]
    for _ in range(3):
        found = each([*hang, "waits"], work, 0.1, hanging)
    # From the second call on it is the only one that is asked.
    assert (asked.count("waits"), found["waits"]) == (2, "waits")
    assert sorted(asked) == sorted([*hang, "waits", "waits"])
    assert all(isinstance(found[name], Trouble) for name in hang)
    wake.set()
    wait_for(lambda: not hanging, 5)
    assert each(hang, lambda name: name, 5, hanging) == {name: name for name in hang}


def test_more_targets_than_threads_are_all_asked() -> None:
    targets = list(range(5 * THREADS))
    assert each(targets, lambda number: number, 10) == {number: number for number in targets}


def test_nothing_to_ask_is_no_work() -> None:
    assert each([], lambda number: number, 1) == {}
