"""Runs in a table."""

from __future__ import annotations

import pytest

from fleetwatch.app.pipelines.tables import LIST, listed
from support_runs import at, execution, run


@pytest.mark.parametrize(
    ("results", "failed"),
    [(["failure", "success"], 0), (["failure", "failure"], 1), (["success"], 0), (["failure", "timeout", "error"], 1)],
)
def test_of_a_phase_that_was_tried_again_the_last_attempt_counts(results: list[str], failed: int) -> None:
    attempts = [execution("P00", n, n + 1, result, attempt=n + 1) for n, result in enumerate(results)]
    row = listed([run("one", 9, attempts)], at(10))[0]
    assert dict(zip(LIST, row, strict=True))["failed"] == failed


def test_a_part_that_failed_is_its_phases_failure_once() -> None:
    phases = [execution("P00", 0, 5), *(execution("P00", n, n + 1, "error", subphase=f"part {n}") for n in range(3))]
    row = listed([run("one", 9, phases)], at(10))[0]
    assert dict(zip(LIST, row, strict=True))["failed"] == 1
