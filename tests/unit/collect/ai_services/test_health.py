"""A service is as well as its worst resource."""

from __future__ import annotations

import pytest

from fleetwatch.catalogue import ai_services
from fleetwatch.collect.ai_services._health import ORDER, Limits, Window, state, worst


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(), "no_data"),
        (Window(ok=100), "ok"),
        (Window(ok=96, failed=4), "ok"),
        (Window(ok=95, failed=5), "degraded"),
        (Window(ok=50, failed=50), "failing"),
        (Window(failed=5), "failing"),
        # Too few to say anything.
        (Window(failed=4), "ok"),
        (Window(ok=95, throttled=5), "throttled"),
        (Window(ok=96, throttled=4), "ok"),
        (Window(ok=80, failed=10, throttled=10), "throttled"),
        (Window(ok=20, failed=60, throttled=20), "failing"),
    ],
)
def test_a_resource_is_in_one_state(window: Window, expected: str) -> None:
    assert state(window, Limits()) == expected


def test_the_worst_resource_is_the_service_s_state() -> None:
    assert worst(["ok", "throttled", "degraded"]) == "throttled"
    assert worst(["no_data", "ok"]) == "ok"
    assert worst([]) == "no_data"


def test_every_state_of_the_catalogue_is_ranked() -> None:
    assert set(ORDER) == set(ai_services.STATE.one_of)


def test_limits_are_the_settings() -> None:
    assert state(Window(ok=8, failed=2), Limits(degraded=0.3, least=1)) == "ok"
    assert state(Window(ok=8, failed=2), Limits(failing=0.2, least=1)) == "failing"
