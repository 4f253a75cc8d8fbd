"""Facts of a machine in any order become the takings that they tell of."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.timeline import Fact, Taking, drain_time, outcome, reason_of, takings

SECOND = 10**9
NOON = 1_795_000_000 * SECOND


def at(seconds: float) -> int:
    return NOON + round(seconds * SECOND)


WARNING = Fact("warning", at(0), at(120), "terminate")
TAKEN = Fact("seen", at(118), why="instance-terminated-no-capacity")
USUAL = [
    Fact("rebalance", at(-600)),
    WARNING,
    Fact("cordoned", at(2), cluster="prod", nodepool="spot", host="node-1"),
    Fact("first_eviction", at(4), cluster="prod", nodepool="spot", host="node-1"),
    Fact("drained", at(70), cluster="prod", nodepool="spot", host="node-1"),
    Fact("ended", at(121)),
    TAKEN,
    Fact("gone", at(180), cluster="prod", nodepool="spot", host="node-1"),
]


def one(*facts: Fact) -> Taking:
    (found,) = takings(facts)
    return found


def test_a_usual_taking_is_one_row() -> None:
    taking = one(*USUAL)
    assert taking == Taking(
        began=at(-600),
        action="terminate",
        reason="capacity",
        rebalance=at(-600),
        warning=at(0),
        due=at(120),
        cordoned=at(2),
        first_eviction=at(4),
        drained=at(70),
        terminated=at(121),
        cluster="prod",
        nodepool="spot",
        host="node-1",
        interrupted=True,
        reserved=False,
        reclaimed=True,
    )
    assert taking.is_whole
    assert outcome(taking, settled=False) == "in_time"
    assert drain_time(taking) == 70 * SECOND


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("instance-terminated-no-capacity", "capacity"),
        ("instance-stopped-no-capacity", "capacity"),
        ("instance-terminated-capacity-oversubscribed", "capacity"),
        ("instance-terminated-by-price", "price"),
        ("instance-stopped-by-price", "price"),
        ("instance-terminated-launch-group-constraint", "constraint"),
        ("instance-terminated-az-group-constraint", "constraint"),
        ("marked-for-termination", "unknown"),
        ("marked-for-stop", "unknown"),
        ("instance-terminated-by-experiment", "unknown"),
        ("Server.SpotInstanceTermination", "unknown"),
        ("Server.SpotInstanceShutdown", "unknown"),
        ("instance-terminated-by-user", None),
        ("Client.UserInitiatedShutdown", None),
        ("Server.InsufficientInstanceCapacity", None),
        ("fulfilled", None),
        ("capacity-not-available", None),
        ("price-too-low", None),
        ("", None),
        ("x" * 10_000, None),
    ],
)
def test_what_ec2_says_of_why(why: str, reason: str | None) -> None:
    assert reason_of(why) == reason


def test_a_rebalance_alone_is_no_interruption() -> None:
    taking = one(Fact("rebalance", at(0)), Fact("ended", at(900)))
    assert not taking.interrupted
    assert taking.terminated == at(900)


def test_ends_and_drains_without_a_sign_are_nobodys() -> None:
    assert takings([fact for fact in USUAL if fact.kind in {"ended", "cordoned", "drained", "gone"}]) == []
    assert takings([Fact("seen", at(0), why="Client.UserInitiatedShutdown")]) == []


def test_a_taking_that_nobody_told_of_is_known_by_ec2s_own_word() -> None:
    taking = one(TAKEN)
    assert (taking.interrupted, taking.reclaimed, taking.warning) == (True, True, None)
    assert taking.terminated == at(118)


def test_a_machine_that_its_owner_ends_after_the_warning_was_taken_all_the_same() -> None:
    taking = one(WARNING, Fact("seen", at(30), why="Client.UserInitiatedShutdown"))
    assert (taking.interrupted, taking.reclaimed, taking.reason, taking.terminated) == (True, False, "unknown", at(30))


def test_a_machine_that_stops_and_starts_is_taken_twice() -> None:
    again = [Fact(f.kind, f.at + 7200 * SECOND, f.due and f.due + 7200 * SECOND, f.action, f.why) for f in USUAL]
    found = takings([*USUAL, *again])
    assert [taking.warning for taking in found] == [at(0), at(7200)]
    assert [taking.terminated for taking in found] == [at(121), at(7321)]


def test_an_answer_of_long_after_belongs_to_the_warning() -> None:
    late = Fact("seen", at(9 * 3600), why="instance-terminated-no-capacity")
    assert one(WARNING, late).reason == "capacity"


def test_a_reservation_is_no_spot_machine() -> None:
    taking = one(Fact("reservation_warning", at(0), at(120), "terminate"), Fact("ended", at(121)))
    assert (taking.interrupted, taking.reserved, taking.reason) == (True, True, "unknown")
    assert taking.is_whole


@pytest.mark.parametrize(
    ("facts", "early", "settled"),
    [
        ([WARNING], "pending", "not_seen"),
        ([WARNING, Fact("cordoned", at(1))], "pending", "not_seen"),
        ([WARNING, Fact("first_eviction", at(1))], "pending", "late"),
        ([WARNING, Fact("drained", at(119))], "pending", "in_time"),
        ([WARNING, Fact("drained", at(121))], "pending", "late"),
        ([WARNING, Fact("drained", at(119)), Fact("ended", at(118))], "late", "late"),
        ([WARNING, Fact("drained", at(125)), Fact("ended", at(130))], "in_time", "in_time"),
        ([Fact("rebalance", at(0)), Fact("drained", at(9))], "pending", "in_time"),
    ],
)
def test_how_a_machine_was_left(facts: list[Fact], early: str, settled: str) -> None:
    assert outcome(one(*facts), settled=False) == early
    assert outcome(one(*facts), settled=True) == settled


def test_a_drain_is_timed_from_the_last_notice_before_it() -> None:
    rebalance = Fact("rebalance", at(-600))
    assert drain_time(one(rebalance, WARNING, Fact("drained", at(-60)))) == 540 * SECOND
    assert drain_time(one(rebalance, WARNING, Fact("drained", at(60)))) == 60 * SECOND
    assert drain_time(one(WARNING, Fact("drained", at(-60)))) is None
    assert drain_time(one(WARNING)) is None


FACTS = st.builds(
    Fact,
    kind=st.sampled_from(
        [
            "rebalance",
            "warning",
            "reservation_warning",
            "ended",
            "seen",
            "cordoned",
            "first_eviction",
            "drained",
            "gone",
        ]
    ),
    at=st.integers(-20, 40).map(lambda number: at(number * 900)),
    due=st.none() | st.integers(-20, 40).map(lambda number: at(number * 900 + 120)),
    action=st.sampled_from(["terminate", "stop", "unknown"]),
    why=st.sampled_from(["", "instance-terminated-by-price", "instance-stopped-no-capacity", "marked-for-stop"]),
)


@given(st.lists(FACTS, max_size=20), st.randoms())
def test_order_and_repetition_change_nothing(facts: list[Fact], random: random.Random) -> None:
    shuffled = facts + facts[: len(facts) // 2]
    random.shuffle(shuffled)
    assert takings(shuffled) == takings(facts)


@given(st.lists(FACTS, max_size=20))
def test_takings_follow_each_other_and_every_sign_is_in_one(facts: list[Fact]) -> None:
    found = takings(facts)
    began = [taking.began for taking in found]
    assert began == sorted(set(began))
    signs = [f for f in facts if f.kind in {"rebalance", "warning", "reservation_warning"}]
    assert bool(found) >= bool(signs)
    if signs:
        assert began[0] <= min(sign.at for sign in signs)
    for taking in found:
        for sign in (taking.rebalance, taking.warning):
            assert sign is None or sign >= taking.began
