from __future__ import annotations

import pytest

from fleetwatch.reckon.measures import items_by_phase, measures_of
from fleetwatch.records.pipelines import Tally, Usage
from support_runs import SECOND, execution, run

MIB = 2**20


def test_a_phase_by_all_its_measures() -> None:
    tally = Tally(items_in=500, items_out=200, errors=(("KeyError", 3), ("ValueError", 1)))
    phase = execution(
        "load",
        0,
        50,
        tally=tally,
        usage=Usage(cpu=20 * SECOND, memory_peak=MIB),
        llm_cost=2_000_000,
        machine_cost=500_000,
    )
    one = run("a", 60, [phase], llm_cost=2_000_000, machine_cost=700_000)
    assert measures_of(one) == {
        ("load", "duration"): 50,
        ("load", "throughput"): 4,
        ("load", "error_rate"): 0.02,
        ("load", "cost"): pytest.approx(0.0025),
        ("load", "cpu"): 20,
        ("load", "memory"): MIB,
        ("", "duration"): 60,
        ("", "cost"): pytest.approx(0.0027),
        ("", "cpu"): 20,
        ("", "memory"): MIB,
    }
    assert items_by_phase(one) == {"load": 200}


def test_a_phase_without_output_counts_what_it_took_in() -> None:
    one = run("a", 10, [execution("sink", 0, 10, tally=Tally(items_in=30))])
    assert measures_of(one)["sink", "throughput"] == 3


def test_of_attempts_the_good_one_tells_the_time_and_all_tell_errors_and_cost() -> None:
    failed = execution("x", 0, 5, "failure", tally=Tally(items_out=10, errors=(("E", 5),)), machine_cost=10**9)
    good = execution("x", 6, 16, tally=Tally(items_out=40), machine_cost=10**9, attempt=2)
    found = measures_of(run("a", 16, [failed, good]))
    assert found["x", "duration"] == 10
    assert found["x", "throughput"] == 4
    assert found["x", "error_rate"] == 0.1
    assert found["x", "cost"] == 2


def test_parallel_executions_are_told_as_their_mean() -> None:
    shards = [execution("map", 0, 10 + n, tally=Tally(items_out=100)) for n in range(3)]
    found = measures_of(run("a", 12, shards))
    assert found["map", "duration"] == 11
    assert found["map", "throughput"] == pytest.approx(300 / 33)
    assert items_by_phase(run("a", 12, shards)) == {"map": 100}


def test_an_unknown_price_is_no_cost() -> None:
    phases = [execution("x", 0, 5, llm_cost=10**9)]
    assert ("x", "cost") not in measures_of(run("a", 5, phases, settled=False))
    assert ("x", "cost") not in measures_of(run("a", 5, phases, llm_unpriced=1, llm_cost=10**9))
    assert ("", "cost") not in measures_of(run("a", 5))


def test_what_failed_was_skipped_or_is_under_way_has_no_duration() -> None:
    phases = [execution("a", 0, 5, "failure"), execution("b", 5, 5, "skip"), execution("c", 5, None)]
    assert measures_of(run("a", 6, phases, result="failure")) == {}


def test_parts_of_phases_are_in_their_phase_already() -> None:
    phases = [
        execution("a", 0, 5, usage=Usage(cpu=SECOND)),
        execution("a", 0, 2, subphase="read", usage=Usage(cpu=SECOND)),
    ]
    assert measures_of(run("a", 5, phases))["", "cpu"] == 1


def test_what_the_run_itself_tells_beats_the_sum_of_its_phases() -> None:
    one = run("a", 5, [execution("a", 0, 5, usage=Usage(cpu=SECOND))], usage=Usage(cpu=3 * SECOND, memory_peak=MIB))
    found = measures_of(one)
    assert (found["", "cpu"], found["", "memory"]) == (3, MIB)
