"""Thresholds of the settings, spelled out for each pipeline and phase."""

from __future__ import annotations

from typing import Any

import pytest

from fleetwatch.app.pipelines.thresholds import check_thresholds, threshold_samples
from fleetwatch.catalogue import pipelines
from fleetwatch.settings import SettingsError, from_dict


def spelled(
    *items: dict[str, Any], pipeline: str = "nightly"
) -> tuple[dict[tuple[str, str], float], set[tuple[str, str, str]]]:
    """({(phase, alert): threshold}, {(phase, alert, severity)}) of a pipeline with phases P00 and P01."""
    given = from_dict({"pipelines": {"thresholds": list(items)}}).pipelines.thresholds
    values, severities = {}, set()
    for metric, labels, value in threshold_samples(given, pipeline, ["P00", "P01"]):
        assert labels[0] == pipeline
        if metric is pipelines.THRESHOLD:
            assert labels[1:] not in values, "a series stands twice: Prometheus would drop the scrape"
            values[labels[1], labels[2]] = value
        else:
            severities.add((labels[1], labels[2], labels[3]))
    return values, severities


def test_a_star_is_every_known_phase_and_the_whole_run() -> None:
    values, _ = spelled({"alert": "PhaseSlower", "threshold": 1.5})
    assert values == {("", "PhaseSlower"): 1.5, ("P00", "PhaseSlower"): 1.5, ("P01", "PhaseSlower"): 1.5}


def test_a_phase_by_name_is_told_before_it_was_ever_seen() -> None:
    assert spelled({"alert": "PhaseStuck", "phase": "P09", "threshold": 60})[0] == {("P09", "PhaseStuck"): 60}
    assert spelled({"alert": "RunOverdue", "phase": "", "threshold": 60})[0] == {("", "RunOverdue"): 60}


def test_of_several_the_last_one_counts_for_threshold_and_severity_each_on_its_own() -> None:
    values, severities = spelled(
        {"alert": "PhaseSlower", "threshold": 2, "severity": "ticket"},
        {"alert": "PhaseSlower", "phase": "P01", "threshold": 3},
        {"alert": "PhaseSlower", "phase": "P00", "severity": "page"},
    )
    assert values == {("", "PhaseSlower"): 2, ("P00", "PhaseSlower"): 2, ("P01", "PhaseSlower"): 3}
    assert severities == {
        ("", "PhaseSlower", "ticket"), ("P00", "PhaseSlower", "page"), ("P01", "PhaseSlower", "ticket"),
    }  # fmt: skip


def test_another_pipeline_s_are_not_shown() -> None:
    given = {"alert": "PhaseSlower", "pipeline": "hourly", "threshold": 2}
    assert spelled(given) == ({}, set())
    assert len(spelled(given, pipeline="hourly")[0]) == 3


def test_an_alert_that_takes_none_is_refused_by_name() -> None:
    settings = from_dict({"pipelines": {"thresholds": [{"alert": "RunOverdue"}, {"alert": "PhaseSlow"}]}})
    with pytest.raises(
        SettingsError, match=r'pipelines.thresholds\[1\].alert: expected one of .*PhaseSlower.*"PhaseSlow"'
    ):
        check_thresholds(settings)
