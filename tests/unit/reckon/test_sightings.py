"""One trace's sightings of LLM calls, without a ledger."""

from __future__ import annotations

import pytest

from fleetwatch.reckon import sightings
from fleetwatch.reckon.sightings import MOST_DEPTH, MOST_SPANS, TOLERANCE, Sighting, Tree

SECOND = 10**9


def sighting(name: str, parent: str = "", start: float = 0, end: float = 10) -> Sighting:
    return Sighting(name.encode(), parent.encode(), round(start * SECOND), round(end * SECOND))


def test_around_and_inside() -> None:
    tree = Tree()
    tree.add(sighting("call", "step"), "", counted=True)
    tree.add_step(b"step", b"outer")
    assert tree.encloses(sighting("outer"))
    assert tree.inside(sighting("inner", "call"))
    assert not tree.encloses(sighting("beside", "step"))
    assert not tree.inside(sighting("beside", "step"))


@pytest.mark.parametrize("first", ["wall", "call"])
def test_a_wall_ends_the_way_up_whenever_it_comes(first: str) -> None:
    tree = Tree()
    if first == "wall":
        tree.add_wall(b"tool", b"outer")
    tree.add(sighting("call", "tool"), "", counted=True)
    tree.add_wall(b"tool", b"outer")
    assert not tree.encloses(sighting("outer"))
    assert not tree.in_doubt(sighting("outer"))


def test_a_span_that_is_missing_makes_doubt_only_where_times_allow_it() -> None:
    tree = Tree()
    tree.add(sighting("call", "missing", 2, 5), "", counted=True)
    assert tree.in_doubt(sighting("outer", "", 1, 6))
    assert tree.in_doubt(sighting("inner", "unknown", 3, 4))
    assert not tree.in_doubt(sighting("inner", "", 3, 4)), "a root is inside nothing"
    assert not tree.in_doubt(sighting("later", "", 6, 9))
    assert not tree.in_doubt(sighting("overlaps", "unknown", 3, 9))
    assert tree.in_doubt(sighting("outer", "", 2 + TOLERANCE / SECOND, 5)), "clocks differ"
    assert not tree.in_doubt(sighting("outer", "missing", 1, 6)), "what is above both is between neither"


def test_what_is_around_a_sighting_in_doubt_is_in_doubt_until_that_is_decided() -> None:
    tree = Tree()
    inner, outer = sighting("inner", "step", 2, 3), sighting("outer", "", 1, 4)
    tree.add(inner, "", counted=False, doubtful=True)
    assert not tree.in_doubt(outer)
    tree.add_step(b"step", b"outer")
    assert tree.in_doubt(outer)
    assert not tree.in_doubt(sighting("beside", "step", 2, 3))
    tree.add(inner, "", counted=False)
    assert not tree.in_doubt(outer)


def test_a_chain_without_an_end_is_climbed_for_so_long() -> None:
    tree = Tree()
    for number in range(MOST_DEPTH * 2):
        tree.add_step(f"s{number}".encode(), f"s{number + 1}".encode())
    tree.add(sighting("call", "s0"), "", counted=True)
    assert tree.encloses(sighting(f"s{MOST_DEPTH - 1}"))
    assert not tree.encloses(sighting(f"s{MOST_DEPTH + 1}"))


def test_a_trace_that_never_ends_is_remembered_by_its_newer_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "MOST_SPANS", 100)
    tree = Tree()
    for number in range(1000):
        tree.add(sighting(f"call{number}", f"step{number}", number, number + 1), "", counted=True)
        assert len(tree) <= 101
    tree.add_step(b"step999", b"outer")
    assert tree.encloses(sighting("step999"))
    assert tree.encloses(sighting("outer"))
    assert not tree.knows(b"call0")
    assert MOST_SPANS > 1000
