"""Processes of agents: there, gone on purpose, missing, gone with their host, replaced."""

from __future__ import annotations

from typing import Any

import pytest

from fleetwatch.reckon import presence
from fleetwatch.reckon.presence import Rules, hear, is_past, replaced, watch
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.agents import AgentBeat, AgentProcess

T0 = 1_800_000_000 * SECOND
RULES = Rules()


def beat(at: float, **fields: Any) -> AgentBeat:
    """at: seconds after T0."""
    time = T0 + round(at * SECOND)
    return AgentBeat("coder", "core", fields.pop("instance", "1"), "node-1", time, **fields)


def process(*beats: AgentBeat, delay: float = 0) -> AgentProcess:
    """After beats that arrive `delay` seconds after they were made."""
    known = None
    for one in beats:
        known = hear(known, one, one.at + round(delay * SECOND)) or known
    assert known is not None
    return known


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def test_what_was_told_stays_until_it_is_told_anew() -> None:
    known = process(
        beat(0, interval=10 * SECOND, state="working", version="1", framework="x", model="m", progress=at(-3)),
        beat(10, state="idle"),
    )
    assert known == AgentProcess(
        "coder", "node-1", "1", "core", T0, at(10), at(10), 0, 10 * SECOND, at(-3), "idle", "1", "x", "m"
    )


def test_pieces_of_one_beat_add_up() -> None:
    known = process(beat(0, state="working"), beat(0, interval=20 * SECOND), beat(0, progress=at(0)))
    assert (known.state, known.interval, known.progress) == ("working", 20 * SECOND, T0)


def test_an_older_beat_changes_nothing() -> None:
    assert hear(process(beat(0), beat(10, state="idle")), beat(5, state="failed"), at(11)) is None


@pytest.mark.parametrize(
    ("interval", "silence"), [(1, 15), (5, 15), (10, 30), (60, 180), (600, 900)], ids=lambda value: f"{value}s"
)
def test_it_is_silent_after_three_of_its_own_intervals_within_bounds(interval: int, silence: int) -> None:
    known = process(beat(0, interval=interval * SECOND))
    assert watch(known, at(silence) - 1, 0, RULES) is known
    assert watch(known, at(silence), 0, RULES).silent_at == at(silence)


def test_a_restart_of_ours_gives_it_time_to_report() -> None:
    known = process(beat(0, interval=10 * SECOND))
    assert watch(known, at(1000), at(999), RULES) is known
    assert watch(known, at(1029), at(999), RULES).silent_at is not None


def test_a_clock_that_is_behind_does_no_harm() -> None:
    behind = 3600
    known = process(
        *(beat(place * 10, interval=10 * SECOND, progress=at(place * 10)) for place in range(3)), delay=behind
    )
    assert known.last_report == at(20 + behind)
    assert known.progress == at(20 + behind)


def test_a_clock_that_leads_does_not_keep_it_alive() -> None:
    known = hear(None, beat(3600, interval=10 * SECOND), T0)
    assert known is not None
    assert watch(known, at(30), 0, RULES).silent_at == at(30)


def test_goodbye_is_no_silence() -> None:
    known = process(beat(0, interval=10 * SECOND), beat(5, goodbye=True))
    later = watch(known, at(1000), 0, RULES)
    assert presence.presence(later, None) == "goodbye"
    assert not is_past(later, at(304), RULES)
    assert is_past(later, at(305), RULES)


@pytest.mark.parametrize(
    ("host", "word"),
    [
        (None, "missing"),
        ("reporting", "missing"),
        ("missing", "host_gone"),
        ("reclaimed", "host_gone"),
        ("goodbye", "host_gone"),
        ("notice", "host_gone"),
    ],
)
def test_silence_on_a_host_that_is_gone_is_the_host_s(host: str | None, word: str) -> None:
    known = process(beat(0))
    assert presence.presence(known, host) == "reporting"
    assert presence.presence(watch(known, at(1000), 0, RULES), host) == word


def test_it_is_back_with_its_next_beat_and_forgotten_after_a_day() -> None:
    silent = watch(process(beat(0, interval=10 * SECOND)), at(30), 0, RULES)
    assert is_past(silent, at(30 + 86400), RULES)
    back = hear(silent, beat(40), at(40))
    assert back is not None
    assert presence.presence(back, None) == "reporting"


def test_a_newcomer_takes_the_place_of_one_that_fell_silent_before_it_came() -> None:
    old, other = (watch(process(beat(0, instance=name)), at(1000), 0, RULES) for name in ("1", "2"))
    new = process(beat(60, instance="3"))
    assert replaced([old, other, new], set()) == {old[:3]: new[:3]}
    assert replaced([old, other, new], {new[:3]}) == {}
    before = process(beat(-60, instance="0"))._replace(last_report=at(900))
    assert replaced([old, before], set()) == {}
    assert replaced([old, new._replace(agent="writer")], set()) == {}
    assert replaced([old, new._replace(goodbye_at=at(70))], set()) == {}
