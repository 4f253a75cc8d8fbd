"""AWS is asked less often than it allows, and less still when it turns requests away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.aws.budget import EC2, LONGEST_PAUSE, SIZES, SLOWEST, WAIT, Budget, Size, size_of

API = "ec2:DescribeInstances"


class Clock:
    """Waiting moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def budget(self, burst: float = 3, rate: float = 0.5) -> Budget:
        return Budget(lambda _: Size(burst, rate), lambda: self.now, self.sleep)


def test_a_burst_goes_through_then_each_waits_its_turn() -> None:
    clock = Clock()
    budget = clock.budget()
    assert [budget.take("x", API) for _ in range(3)] == [(True, 0.0)] * 3
    assert budget.take("x", API) == (True, 2.0)
    assert clock.slept == [2.0]
    clock.now += 100
    assert [budget.take("x", API)[1] for _ in range(4)] == [0, 0, 0, 2]


def test_what_would_wait_too_long_is_not_asked_and_costs_no_turn() -> None:
    clock = Clock()
    budget = Budget(lambda _: Size(1, 0.1), lambda: clock.now, clock.sleep)
    budget.take("x", API)
    assert budget.take("x", API) == (False, 10.0)
    assert budget.take("x", API) == (False, 10.0)
    assert clock.slept == []
    clock.now += 10
    assert budget.take("x", API) == (True, 0.0)


def test_each_target_and_operation_has_its_own() -> None:
    budget = Clock().budget(burst=1, rate=0.01)
    assert budget.take("x", API)[0]
    assert not budget.take("x", API)[0]
    assert budget.take("y", API)[0]
    assert budget.take("x", "ec2:DescribeVolumes")[0]


def test_where_aws_turns_requests_away_they_become_fewer_and_answers_bring_them_back() -> None:
    clock = Clock()
    budget = clock.budget(burst=10, rate=1)
    budget.answered("x", API, throttled=True)
    assert budget.take("x", API) == (True, 2.0)
    for _ in range(9):
        budget.answered("x", API, throttled=True)
    clock.now += LONGEST_PAUSE
    assert budget.take("x", API) == (True, 0.0)
    for _ in range(9):
        assert budget.take("x", API)[0]
    assert budget.take("x", API) == (False, 1 / SLOWEST)
    clock.now += 1 / SLOWEST
    for _ in range(9):
        budget.answered("x", API, throttled=False)
    assert budget.take("x", API) == (True, 0.0)
    assert budget.take("x", API) == (True, 1.0)


def test_ten_minutes_of_refusals_make_no_more_requests_than_ten_minutes_of_answers() -> None:
    """A cycle a minute, each with the three attempts of the SDK."""
    clock = Clock()
    budget = clock.budget(burst=20, rate=1)
    made = 0
    for _ in range(10):
        allowed, _wait = budget.take("x", API)
        for _attempt in range(3 * allowed):
            budget.answered("x", API, throttled=True)
            made += 1
        clock.now += 60
    assert 3 <= made <= 12
    clock.now += LONGEST_PAUSE
    assert budget.take("x", API)[0]
    budget.answered("x", API, throttled=False)
    clock.now += 60
    assert budget.take("x", API) == (True, 0.0)


def test_every_operation_of_ec2_has_a_bound_far_below_aws_s_own() -> None:
    """Documented: 100 requests at once and 20 a second for paged Describe operations."""
    assert size_of("ec2:DescribeWhatComesNext") == EC2
    for size in (EC2, *SIZES.values()):
        assert size.burst <= 60
        assert 0 < size.rate <= 2
    assert size_of("sts:AssumeRole") is None


def test_what_has_no_bound_is_not_held_back() -> None:
    budget = Budget()
    assert [budget.take("x", "sts:AssumeRole") for _ in range(1000)] == [(True, 0.0)] * 1000


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 5), st.floats(0.05, 5))
def test_never_more_than_burst_and_rate_allow(pauses: list[float], burst: int, rate: float) -> None:
    clock = Clock()
    budget = clock.budget(burst, rate)
    begun, made = clock.now, 0
    for pause in pauses:
        clock.now += pause
        allowed, wait = budget.take("x", API)
        made += allowed
        assert not allowed or wait <= WAIT
        assert made <= burst + rate * (clock.now - begun) + 1e-6
