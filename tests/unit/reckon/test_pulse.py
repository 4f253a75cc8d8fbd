"""Clocks that are wrong, as seen from the reports of whoever has one."""

from __future__ import annotations

import pytest

from fleetwatch.reckon.pulse import SECOND, lead

NOW = 1_800_000_000


def led(*, began: float, sent: float, first_heard: float, heard_at: float) -> float:
    return lead(*(round((NOW + at) * SECOND) for at in (began, first_heard, sent, heard_at))) / SECOND


@pytest.mark.parametrize(
    ("what", "times", "expected"),
    [
        ("right, a report is on the way for seconds", {"began": 0, "first_heard": 2, "sent": 600, "heard_at": 605}, 0),
        ("an hour slow", {"began": -3600, "first_heard": 1, "sent": -3000, "heard_at": 600}, 3600),
        ("an hour fast; reports are taken for as late as they came", {
            "began": 3600, "first_heard": 0, "sent": 600, "heard_at": 600}, -3600),
        ("heard of long after it began", {"began": 0, "first_heard": 900, "sent": 900, "heard_at": 901}, 0),
        ("stood still while its machine slept", {"began": 0, "first_heard": 1, "sent": 60, "heard_at": 28_860}, 28_800),
    ],
)  # fmt: skip
def test_how_far_our_clock_is_before_a_sender_s(what: str, times: dict[str, float], expected: float) -> None:
    assert led(**times) == expected, what


def test_what_the_clock_says_less_the_lead_is_the_sender_s_time() -> None:
    """A run that began an hour ago by a slow clock, and was first heard of now, lasts no hour."""
    slow = led(began=-3600, first_heard=1, sent=-3540, heard_at=60)
    assert (NOW + 60 - slow) - (NOW - 3600) == 60
