"""Takings of machines: each event counts once, each taking once, in whatever order and however often it comes."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.catalogue import spot
from fleetwatch.ledger.query import Reader
from fleetwatch.records.spot import FleetSlice
from support_spot_ledger import ID, POOL, SECOND, Told, at, machine, part, seen, signal, step, usual

HERE = part(at(-900), at(-800), machine(cluster="prod-eks", workload="index"))


def test_a_usual_taking_is_one_row_and_counts_once(told: Told) -> None:
    told.tell(HERE, *usual())
    told.settle()
    (row,) = told.ledger.spot.interruptions(0)
    assert (row.pool, row.workload) == (POOL, "index")
    assert (row.cluster, row.nodepool, row.host) == ("prod-eks", "spot", "node-1")
    assert (row.action, row.reason, row.outcome) == ("terminate", "capacity", "in_time")
    assert (row.rebalance, row.warning, row.due, row.drained) == (at(-600), at(0), at(120), at(70))
    assert (row.terminated, row.began, row.interrupted, row.settled) == (at(121), at(-600), True, True)
    counts = told.counts()
    assert counts[spot.INTERRUPTIONS.prometheus, *POOL, "terminate", "capacity"] == 1
    assert counts[spot.TERMINATIONS.prometheus, "prod", "us-east-1", "capacity", "yes"] == 1
    assert counts[spot.REBALANCES.prometheus, "us-east-1", "m7g.large"] == 1
    assert counts[spot.SIGNAL_LEAD.prometheus, "warning"] == 121 * SECOND
    assert counts[spot.SIGNAL_LEAD.prometheus, "rebalance"] == 721 * SECOND
    assert counts[spot.DRAIN_OUTCOMES.prometheus, "prod-eks", "spot", "in_time"] == 1
    assert counts[spot.DRAIN_DURATION.prometheus, "prod-eks", "spot"] == 70 * SECOND
    assert counts[spot.EVENTS.prometheus, "state_change"] == 2


def test_events_count_at_once_and_takings_when_they_are_settled(told: Told) -> None:
    told.tell(HERE, signal("warning"))
    assert told.count(spot.EVENTS, "warning") == 1
    assert told.count(spot.INTERRUPTIONS, *POOL, "terminate", "capacity") == 0
    told.tell(seen("instance-terminated-no-capacity", 118), later=130)
    told.settle(59)
    assert told.count(spot.INTERRUPTIONS, *POOL, "terminate", "capacity") == 0
    told.settle(1)
    assert told.count(spot.INTERRUPTIONS, *POOL, "terminate", "capacity") == 1


def test_an_event_that_comes_again_is_a_duplicate_also_after_a_restart(told: Told) -> None:
    told.tell(HERE, signal("warning", key="one"), signal("warning", key="one"))
    told.restart()
    told.tell(signal("warning", key="one"))
    told.settle()
    told.tell(signal("warning", key="one"), later=86_400)
    assert told.count(spot.EVENTS, "warning") == 1
    assert told.count(spot.EVENT_DUPLICATES, "warning") == 3
    assert told.count(spot.INTERRUPTIONS, *POOL, "terminate", "unknown") == 1


def test_a_machine_that_becomes_known_later_counts_under_its_own_pool(told: Told) -> None:
    told.tell(signal("warning"), seen("instance-terminated-by-price", 118))
    (row,) = told.ledger.spot.recent(5)
    assert (row.pool, row.account, row.region) == (None, "prod", "us-east-1")
    told.settle(800)
    told.tell(HERE, later=50)
    (row,) = told.ledger.spot.recent(5)
    assert row.pool == POOL
    told.settle()
    counts = {key: n for key, n in told.counts().items() if key[0] == spot.INTERRUPTIONS.prometheus}
    assert counts == {(spot.INTERRUPTIONS.prometheus, *POOL, "terminate", "price"): 1}


def test_a_machine_that_nobody_ever_tells_of_counts_without_a_pool(told: Told) -> None:
    told.tell(signal("warning"))
    told.settle(901)
    told.tell(HERE)
    told.settle()
    labels = ("prod", "us-east-1", "", "", "", "terminate", "unknown")
    assert told.count(spot.INTERRUPTIONS, *labels) == 1
    assert told.count(spot.INTERRUPTIONS, *POOL, "terminate", "unknown") == 0
    assert told.count(spot.DRAIN_OUTCOMES, "", "", "not_seen") == 1


def test_an_end_without_an_event_is_told_apart(told: Told) -> None:
    told.tell(HERE, seen("instance-terminated-no-capacity", 118))
    told.settle()
    assert told.count(spot.TERMINATIONS, "prod", "us-east-1", "capacity", "no") == 1
    assert told.count(spot.INTERRUPTIONS, *POOL, "unknown", "capacity") == 1


def test_a_rebalance_and_an_end_by_its_owner_are_no_interruption(told: Told) -> None:
    told.tell(HERE, signal("rebalance"), seen("Client.UserInitiatedShutdown", 60))
    told.tell(HERE, signal("state_change", name="i-00000000000000001", state="terminated"))
    told.settle()
    counts = told.counts()
    assert counts[spot.REBALANCES.prometheus, "us-east-1", "m7g.large"] == 1
    assert not any(key[0] in {spot.INTERRUPTIONS.prometheus, spot.TERMINATIONS.prometheus} for key in counts)
    assert len(told.rows()) == 1


def test_what_comes_after_it_was_counted_changes_the_row_alone(told: Told) -> None:
    told.tell(HERE, signal("warning"))
    told.settle()
    told.tell(*usual())
    told.settle()
    (row,) = told.ledger.spot.interruptions(0)
    assert (row.reason, row.outcome, row.settled, row.rebalance) == ("capacity", "in_time", True, at(-600))
    assert told.count(spot.INTERRUPTIONS, *POOL, "terminate", "unknown") == 1
    assert told.count(spot.INTERRUPTIONS, *POOL, "terminate", "capacity") == 0


@pytest.mark.parametrize("hours", [0.5, 2, 5.5])
def test_a_machine_that_is_taken_long_after_it_was_recommended_to_leave_counts(told: Told, hours: float) -> None:
    """The recommendation was settled, and counted as one that stood alone, before the warning came."""
    told.now = at(-3600 * hours)
    told.tell(HERE._replace(since=at(-9 * 3600)), signal("rebalance", -3600 * hours))
    told.settle()
    assert told.count(spot.REBALANCES, "us-east-1", "m7g.large") == 1
    told.now = at(1)
    told.tell(signal("warning"))
    told.restart()
    (row,) = told.ledger.spot.take_changed()
    assert (row.interrupted, row.settled, row.outcome) == (True, False, "pending")
    told.tell(seen("instance-terminated-no-capacity", 121), later=125)
    told.settle()
    told.tell(signal("rebalance", -3600 * hours, key="late again"))
    told.settle()
    counts = told.counts()
    assert counts[spot.INTERRUPTIONS.prometheus, *POOL, "terminate", "capacity"] == 1
    assert counts[spot.TERMINATIONS.prometheus, "prod", "us-east-1", "capacity", "yes"] == 1
    assert counts[spot.REBALANCES.prometheus, "us-east-1", "m7g.large"] == 1
    assert counts[spot.SIGNAL_LEAD.prometheus, "rebalance"] == (3600 * hours + 121) * SECOND
    assert told.ledger.spot.exposure(0)[POOL].interruptions == 1


def test_who_was_taken_before_the_first_look_is_in_no_rate(told: Told) -> None:
    """A queue may hold events of two weeks, and EC2 tells of the ended for an hour; their hours nobody has counted."""
    told.tell(part(at(3600), at(3601), machine("i-other")), *usual(), later=3601)
    told.tell(signal("warning", 3000, name="i-unknown"))
    told.tell(signal("warning", 3700, name="i-other"))
    told.settle()
    assert [row.instance for row in told.ledger.spot.interruptions(0)] == [ID, "i-unknown", "i-other"]
    found = {key[1:]: n for key, n in told.counts().items() if key[0] == spot.INTERRUPTIONS.prometheus}
    assert found == {(*POOL, "terminate", "unknown"): 1}
    assert not any(key[0] == spot.TERMINATIONS.prometheus for key in told.counts())
    assert {pool: seen.interruptions for pool, seen in told.ledger.spot.exposure(0).items()} == {POOL: 1}


def test_a_reservation_that_ends_is_no_interruption_of_a_pool(told: Told) -> None:
    told.tell(HERE, signal("reservation_warning", due=at(120), action="terminate"), step("drained", 50))
    told.settle()
    counts = told.counts()
    assert not any(key[0] == spot.INTERRUPTIONS.prometheus for key in counts)
    assert counts[spot.DRAIN_OUTCOMES.prometheus, "prod-eks", "spot", "in_time"] == 1
    assert told.ledger.spot.exposure(0) == {}


def test_a_node_that_does_not_say_its_machine_is_found_by_its_name(told: Told) -> None:
    told.tell(part(at(-900), at(-800), machine(names=("ip-10-0-0-1.ec2.internal",))))
    told.tell(signal("warning"), step("drained", 20, name="", host="ip-10-0-0-1.ec2.internal"))
    told.tell(step("drained", 20, name="", host="somebody-else"))
    (row,) = told.ledger.spot.recent(5)
    assert (row.drained, row.host) == (at(20), "ip-10-0-0-1.ec2.internal")


def test_changes_are_told_once_and_after_a_start_all_that_is_open(told: Told) -> None:
    told.tell(HERE, signal("warning"))
    assert [row.settled for row in told.ledger.spot.take_changed()] == [False]
    assert told.ledger.spot.take_changed() == []
    told.restart()
    assert len(told.ledger.spot.take_changed()) == 1
    told.settle()
    assert [row.settled for row in told.ledger.spot.take_changed()] == [True]
    told.restart()
    assert told.ledger.spot.take_changed() == []


@pytest.mark.parametrize("wrong", [-(10**18), 0, at(0) + 2**62])
def test_a_time_that_cannot_be_is_taken_for_now(told: Told, wrong: int) -> None:
    told.tell(HERE, signal("warning")._replace(at=wrong, due=wrong))
    told.tell(seen("instance-terminated-no-capacity", 0)._replace(at=wrong))
    told.settle()
    (row,) = told.ledger.spot.interruptions(0)
    assert row.warning == row.due == at(0)
    assert told.count(spot.INTERRUPTIONS, *POOL, "terminate", "capacity") == 1


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_off_changes_no_count(told: Told, hours: int) -> None:
    told.now += hours * 3600 * SECOND
    told.tell(HERE, *usual())
    told.settle(61)
    assert told.count(spot.INTERRUPTIONS, *POOL, "terminate", "capacity") == 1
    delay = told.counts()[spot.EVENT_DELAY.prometheus,]
    assert delay == (0 if hours < 0 else (4 * 3600 + 600 - 0 - 90 - 121) * SECOND)


def test_hostile_texts_are_cut_and_do_no_harm(told: Told) -> None:
    long = "i-" + "é" * 10_000
    told.tell(HERE, signal("warning", key="k" * 10_000, name=long), step("drained", 5, long, host="\0" * 10_000))
    told.tell(seen("instance-terminated-no-capacity\n" * 1000, 5, long))
    told.tell(signal("warning", action="explode"), signal("explode"))  # type: ignore[arg-type]
    told.settle()
    assert max(len(row.instance) for row in told.ledger.spot.recent(9)) <= 300
    assert told.count(spot.INTERRUPTIONS, *POOL, "_other", "unknown") == 1


def test_a_flood_of_facts_and_of_machines_is_bounded(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told.ledger.spot._interruptions._facts, "_most", 100)
    monkeypatch.setattr(told.ledger.spot._interruptions, "_most", 40)
    monkeypatch.setattr(told.ledger.spot._keys, "_most", 150)
    told.tell(*(signal("warning", number * 60) for number in range(60)))
    assert told.ledger.query("SELECT count(*) FROM spot_facts") == [(50,)]
    for first in range(0, 300, 20):
        told.tell(*(signal("warning", number, name=f"i-{number:017x}") for number in range(first, first + 20)))
    for table, most in (("spot_facts", 100), ("spot_interruptions", 40), ("spot_keys", 150)):
        assert told.ledger.query(f"SELECT count(*) FROM {table}")[0][0] <= most
    assert told.count(spot.EVENTS, "warning") == 360


@pytest.mark.parametrize("told", [30], indirect=True)
def test_rows_are_kept_their_time_and_facts_while_messages_may_come(told: Told) -> None:
    told.tell(HERE, *usual())
    told.settle()
    told.tell(part(at(-800), at(-700)))
    told.settle(16 * 86_400)
    told.ledger.prune()
    for table in ("spot_facts", "spot_keys", "spot_instances"):
        assert told.ledger.query(f"SELECT count(*) FROM {table}") == [(0,)], table
    (row,) = told.ledger.spot.interruptions(0)
    assert row.pool == POOL
    told.tell(signal("warning", 0, key="the same machine, much later"), later=86_400)
    assert len(told.rows()) == 2
    told.settle(12 * 86_400)
    told.ledger.prune()
    assert len(told.rows()) == 2
    told.settle(2 * 86_400)
    told.ledger.prune()
    assert told.rows() == []
    assert told.count(spot.INTERRUPTIONS, *POOL, "terminate", "capacity") == 1


def test_what_a_failed_commit_told_is_forgotten_whole(told: Told) -> None:
    told.tell(HERE)
    broken = FleetSlice("prod", "us-east-1", at(-800), at(-900), (), ())
    with pytest.raises(ValueError, match="expected 0 <= since < until"):
        told.tell(*usual(), broken)
    assert told.rows() == []
    assert told.ledger.spot.take_changed() == []
    told.tell(*usual())
    told.settle()
    assert told.count(spot.EVENTS, "warning") == 1
    assert told.count(spot.EVENT_DUPLICATES, "warning") == 0


def test_readers_of_the_file_see_the_same(told: Told) -> None:
    told.tell(HERE, *usual())
    with Reader(told.path) as reader:
        assert reader.interruptions() == told.ledger.spot.interruptions(0)
        assert reader.instances() == list(told.ledger.spot.instances().values())
        assert reader.exposure(0) == told.ledger.spot.exposure(0)
        assert reader.slices() == {("prod", "us-east-1"): at(-800)}


NAMES = [ID, "i-0aaaaaaaaaaaaaaa1", "i-0aaaaaaaaaaaaaaa2"]
STREAM: list[object] = [
    part(at(-900), at(-800), *(machine(name, cluster="prod-eks", workload="index") for name in NAMES[:2])),
    *usual(NAMES[0]),
    signal("warning", 5, name=NAMES[1], action="stop"),
    signal("state_change", 125, name=NAMES[1], state="stopped"),
    seen("instance-stopped-no-capacity", 126, NAMES[1]),
    signal("state_change", 3000, name=NAMES[1], state="running"),
    signal("warning", 9000, name=NAMES[1], action="stop"),
    seen("instance-stopped-by-price", 9121, NAMES[1]),
    step("first_eviction", 9050, NAMES[1]),
    signal("rebalance", 100, name=NAMES[2]),
    seen("Client.UserInitiatedShutdown", 300, NAMES[2]),
    signal("scheduled", 50, name=NAMES[2]),
]
"""What is told of three machines: one is taken, one is stopped twice, one was never in a slice."""


def outcome_of(parts: list[list[object]], restarts: set[int]) -> tuple[list[object], dict[tuple[str, ...], int]]:
    """Rows and counts when all is settled, without the duplicates. parts: what came in one commit each."""
    with tempfile.TemporaryDirectory() as folder:
        told = Told(Path(folder))
        for number, records in enumerate(parts):
            told.tell(*records)
            if number in restarts:
                told.restart()
        told.settle()
        counts = told.counts()
        rows = told.rows()
        told.ledger.close()
    return rows, {key: n for key, n in counts.items() if key[0] != spot.EVENT_DUPLICATES.prometheus and n}


EXPECTED = outcome_of([[record] for record in STREAM], set())


def test_the_sorted_stream_counts_what_it_tells() -> None:
    rows, counts = EXPECTED
    assert len(rows) == 4
    taken = {key[1:]: n for key, n in counts.items() if key[0] == spot.INTERRUPTIONS.prometheus}
    assert taken == {
        (*POOL, "terminate", "capacity"): 1,
        (*POOL, "stop", "capacity"): 1,
        (*POOL, "stop", "price"): 1,
    }
    assert counts[spot.DRAIN_OUTCOMES.prometheus, "prod-eks", "spot", "late"] == 1


@settings(max_examples=20, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.lists(st.sampled_from(STREAM), max_size=10),
    st.integers(2, 12),
    st.sets(st.integers(0, 4), max_size=2),
)
def test_any_order_duplicates_and_restarts_give_the_same(
    random: random.Random, again: list[object], size: int, restarts: set[int]
) -> None:
    """Also where the slice that tells what the machines are comes last, or again."""
    stream = [*STREAM, *again]
    random.shuffle(stream)
    parts = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert outcome_of(parts, restarts) == EXPECTED
