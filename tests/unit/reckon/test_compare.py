"""One run against another."""

from __future__ import annotations

import math
import random

import pytest

from fleetwatch.reckon.compare import Difference, Otherwise, compare, otherwise
from fleetwatch.records.pipelines import RunWithPhases, Tally, Usage
from support_runs import execution, line, run

DAY = 86_400
DRAW = random.Random(4)
HISTORY = [line(f"r{n}", ("train", 100 * math.exp(DRAW.gauss(0, 0.1))), start=-n * DAY) for n in range(1, 41)]


def of(found: list[Difference], phase: str, measure: str) -> Difference:
    return next(one for one in found if (one.phase, one.measure) == (phase, measure))


def trained(seconds: float, name: str = "b") -> RunWithPhases:
    return line(name, ("train", seconds))


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(100, "noise"), (115, "noise"), (85, "noise"), (150, "slower"), (60, "faster")]
)
def test_a_change_is_noise_when_past_runs_differ_as_much(seconds: float, verdict: str) -> None:
    found = compare(trained(100, "a"), trained(seconds), HISTORY)
    assert [(one.phase, one.measure) for one in found] == [("", "duration"), ("train", "duration")]
    one = of(found, "train", "duration")
    assert (one.a, one.b) == (100, seconds)
    assert one.change == pytest.approx(seconds / 100)
    assert one.verdict == verdict
    assert "40 past runs" in one.why


def test_nine_of_ten_pairs_of_past_runs_are_noise() -> None:
    verdicts = [
        of(compare(a, b, HISTORY), "train", "duration").verdict
        for number, a in enumerate(HISTORY)
        for b in HISTORY[number + 1 :]
    ]
    assert verdicts.count("noise") / len(verdicts) == pytest.approx(0.9, abs=0.03)


def test_the_two_runs_are_no_history_of_themselves() -> None:
    a, b = trained(100, "a"), trained(500)
    assert of(compare(a, b, [a, b, *HISTORY[:10]]), "train", "duration").verdict == "slower"
    found = of(compare(a, b, [a, b, *HISTORY[:9]]), "train", "duration")
    assert (found.verdict, found.why) == ("unknown", "9 past runs, 10 are needed to judge")


def test_words_by_measure() -> None:
    def one(name: str, items: int, memory: int) -> RunWithPhases:
        phase = execution("x", 0, 10, tally=Tally(items_out=items), usage=Usage(memory_peak=memory))
        return run(name, 10, [phase])

    past = [one(f"r{n}", 1000 + n, 100 + n) for n in range(20)]
    found = compare(one("a", 1000, 100), one("b", 500, 300), past)
    assert of(found, "x", "throughput").verdict == "slower"
    assert of(found, "x", "memory").verdict == "more"
    back = compare(one("b", 500, 300), one("a", 1000, 100), past)
    assert of(back, "x", "throughput").verdict == "faster"
    assert of(back, "x", "memory").verdict == "less"


def test_rates_of_nothing_are_compared_by_their_difference() -> None:
    def one(name: str, errors: int) -> RunWithPhases:
        return run(name, 10, [execution("x", 0, 10, tally=Tally(items_out=100, errors=(("E", errors),)))])

    past = [one(f"r{n}", n % 3) for n in range(20)]
    found = of(compare(one("a", 0), one("b", 20), past), "x", "error_rate")
    assert (found.change, found.verdict) == (None, "more")
    assert of(compare(one("a", 0), one("b", 2), past), "x", "error_rate").verdict == "noise"


def test_what_only_one_of_them_has_is_said_so() -> None:
    found = of(compare(trained(100, "a"), line("b", ("other", 10)), HISTORY), "train", "duration")
    assert found == Difference("train", "duration", 100, None, None, "unknown", "only in a")


def test_what_else_is_not_the_same() -> None:
    a = run("a", 30, [execution("x", 0, 10), execution("y", 10, 30)], version="1", host="n1")
    b = run(
        "b",
        40,
        [execution("x", 0, 5, "error"), execution("x", 6, 10, "failure", attempt=2), execution("z", 10, 30)],
        "failure",
        version="2",
        host="n1",
        reason="phase",
    )
    assert otherwise(a, b) == [
        Otherwise("version", "", "1", "2"),
        Otherwise("result", "", "success", "failure"),
        Otherwise("reason", "", "", "phase"),
        Otherwise("result", "x", "success", "failure"),
        Otherwise("attempts", "x", "1", "2"),
        Otherwise("phase", "y", "yes", "no"),
        Otherwise("phase", "z", "no", "yes"),
    ]
    assert otherwise(a, a) == []
