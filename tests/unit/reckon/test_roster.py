"""Who is there and who is missing, whatever the order in which reports come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue import hosts
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.reckon.roster import (
    Rules,
    Word,
    hear,
    is_expected,
    is_past,
    is_present,
    makes_room,
    state,
    watch,
)
from fleetwatch.records.hosts import Host

NOW = 1_800_000_000 * SECOND
RULES = Rules(confirm_after=600 * SECOND, forget_after=86400 * SECOND)


class Desk:
    """One host before a roster, with a clock in seconds after NOW."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.started = NOW
        self.host: Host | None = None

    def word(self, sent: float, now: float | None = None, **said: Any) -> bool:
        """A report made at `sent` by its host's clock that arrives at `now`; whether it changed something."""
        word = Word("node", NOW + int(sent * SECOND), 15 * SECOND, **said)
        heard = hear(self.host, word, NOW + int((sent if now is None else now) * SECOND), self.rules)
        self.host = heard or self.host
        return heard is not None

    def state(self, now: float) -> str:
        assert self.host is not None
        self.host = watch(self.host, NOW + int(now * SECOND), self.started, self.rules)
        return state(self.host)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_host_is_missing_after_three_of_its_intervals(desk: Desk) -> None:
    desk.word(0)
    assert [desk.state(at) for at in (0, 44.9, 45)] == ["reporting", "reporting", "missing"]
    desk.word(50)
    assert desk.state(50) == "reporting"


def test_a_goodbye_is_no_silence(desk: Desk) -> None:
    desk.word(0)
    desk.word(5, goodbye=True)
    assert [desk.state(at) for at in (5, 1000, 10**6)] == ["goodbye"] * 3
    desk.word(10**6 + 1)
    assert desk.state(10**6 + 1) == "reporting"


def test_a_late_goodbye_does_not_end_a_newer_hello(desk: Desk) -> None:
    desk.word(0)
    desk.word(20)
    assert not desk.word(10, now=25, goodbye=True)
    assert desk.state(25) == "reporting"


def test_a_late_goodbye_explains_a_silence(desk: Desk) -> None:
    """The sink could not be reached; the spool of the next boot brings it."""
    desk.word(0)
    assert desk.state(100) == "missing"
    desk.word(5, now=200, goodbye=True)
    assert desk.state(200) == "goodbye"


def test_pieces_of_one_goodbye_are_one(desk: Desk) -> None:
    desk.word(0)
    for goodbye in (False, True, False):
        desk.word(5, goodbye=goodbye)
    assert desk.state(5) == "goodbye"


def test_silence_after_a_notice_is_a_reclaim(desk: Desk) -> None:
    desk.word(0)
    desk.word(15, notice_at=NOW + 135 * SECOND)
    assert desk.state(16) == "notice"
    assert desk.state(100) == "reclaimed"


def test_a_notice_that_is_far_off_explains_no_silence(desk: Desk) -> None:
    desk.word(0, notice_at=NOW + 86400 * SECOND)
    assert desk.state(100) == "missing"


def test_a_notice_that_was_taken_back_is_none(desk: Desk) -> None:
    desk.word(0, notice_at=NOW + 120 * SECOND)
    desk.word(15)
    assert (desk.state(15), desk.state(100)) == ("reporting", "missing")


def test_after_a_start_hosts_have_time_to_report_again(desk: Desk) -> None:
    desk.word(0)
    desk.started = NOW + 3600 * SECOND
    assert [desk.state(at) for at in (3600, 3644, 3645)] == ["reporting", "reporting", "missing"]


def test_a_start_does_not_bring_back_who_was_missing(desk: Desk) -> None:
    desk.word(0)
    assert desk.state(100) == "missing"
    desk.started = NOW + 200 * SECOND
    assert desk.state(200) == "missing"


@pytest.mark.parametrize("lead", [-3600, -60, 0])
def test_a_slow_clock_makes_nobody_missing(desk: Desk, lead: float) -> None:
    for turn in range(10):
        desk.word(turn * 15 + lead, now=turn * 15)
        assert desk.state(turn * 15) == "reporting"
    assert [desk.state(at) for at in (135 + 44, 135 + 60)] == ["reporting", "missing"]


def test_our_own_clock_that_is_set_right_delays_no_silence(desk: Desk) -> None:
    """It led by an hour. Nothing was heard after now, so no host is waited for until then."""
    for turn in range(4):
        desk.word(turn * 15, now=turn * 15 + 3600)
    desk.word(60)
    assert [desk.state(at) for at in (60 + 44, 60 + 45)] == ["reporting", "missing"]


def test_a_queue_that_empties_late_brings_nobody_back_to_life(desk: Desk) -> None:
    """Reports waited in a Collector while the exporter was down; their host died meanwhile."""
    desk.word(0)
    for turn in range(1, 20):
        desk.word(turn * 15, now=4000 + turn / 100)
    assert desk.host is not None
    assert desk.host.last_report < NOW + (20 * 15 + 60) * SECOND
    assert desk.state(4001) == "missing"


def test_a_host_is_learned_after_reporting_without_a_break(desk: Desk) -> None:
    for at in range(0, 590, 15):
        desk.word(at)
    assert desk.host is not None
    assert not is_expected(desk.host, RULES)
    desk.state(700)  # a silence
    for at in range(710, 1300, 15):
        desk.word(at)
    assert not is_expected(desk.host, RULES)
    desk.word(1311)
    assert is_expected(desk.host, RULES)


def test_without_learning_only_the_settings_expect() -> None:
    for rules, expected in ((RULES._replace(learn=False), False), (Rules(frozenset({"node"}), learn=False), True)):
        desk = Desk(rules)
        for at in range(0, 2000, 15):
            desk.word(at)
        assert desk.host is not None
        assert is_expected(desk.host, rules) is expected


def test_who_is_gone_for_long_is_forgotten_unless_the_settings_name_it(desk: Desk) -> None:
    desk.word(0, goodbye=True)
    assert desk.host is not None
    day = NOW + 86400 * SECOND
    assert not is_past(desk.host, day - 1, RULES)
    assert is_past(desk.host, day, RULES)
    assert not is_past(desk.host, day, RULES._replace(expected=frozenset({"node"})))


def test_room_is_made_by_the_one_that_left_first_but_not_by_one_that_is_looked_for() -> None:
    here = Host("here", 0, 0, 0, 0, 0, SECOND)
    first, second = (here._replace(name=f"left-{at}", goodbye_at=at) for at in (5, 9))
    missing = here._replace(name="missing", silent_at=1, confirmed_at=1)
    assert makes_room([here, second, first, missing], RULES) is first
    assert makes_room([here, missing], RULES) is None
    assert makes_room([here, missing._replace(confirmed_at=None)], RULES) is not None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["report", "goodbye", "notice", "late report", "late goodbye", "wait", "restart"]),
        st.integers(1, 100),
    ),
    max_size=40,
)


@given(steps=STEPS, missing_after=st.floats(2, 10))
def test_no_order_of_events_makes_the_wrong_state(steps: list[tuple[str, int]], missing_after: float) -> None:
    """Held against what a patient onlooker knows: the newest report, and how long ago somebody listened for it."""
    desk = Desk(RULES._replace(missing_after=missing_after))
    desk.word(0)
    now, newest, goodbye, notice, listening_since = 0.0, 0.0, False, False, 0.0
    was_silent = False
    for step, seconds in steps:
        now += seconds
        if step.startswith("late"):
            sent = newest - 0.5
            assert not desk.word(sent, now, goodbye=step == "late goodbye")
        elif step == "restart":
            desk.started = NOW + int(now * SECOND)
            listening_since = now
        elif step != "wait":
            newest, goodbye, notice = now, step == "goodbye", step == "notice"
            listening_since = now
            was_silent = False
            assert desk.word(now, goodbye=goodbye, notice_at=NOW + int((now + 120) * SECOND) if notice else None)
        found = desk.state(now)
        overdue = now - listening_since >= 15 * missing_after
        was_silent = was_silent or (overdue and not goodbye)
        if goodbye:
            assert found == "goodbye"
        elif was_silent:
            assert found == ("reclaimed" if notice else "missing")
        else:
            assert found == ("notice" if notice else "reporting")
        assert found in hosts.HOST_STATE.one_of
        assert desk.host is not None
        assert is_present(desk.host) is (found in {"reporting", "notice"})
        assert desk.host.last_report <= NOW + int(now * SECOND)
