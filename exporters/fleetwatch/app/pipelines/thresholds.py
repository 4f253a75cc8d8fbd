"""Thresholds and severities that the settings give alerts, spelled out: one series each for pipeline and phase.

So a rule looks up its own pipeline and phase, and no pattern is matched in PromQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import Sample
from fleetwatch.settings import Settings, SettingsError
from fleetwatch.settings.pipelines import PipelineThreshold

ANY = "*"
WHOLE = ""
"""The phase that stands for the whole run."""


def check_thresholds(settings: Settings) -> None:
    """Raises SettingsError for an alert that takes none."""
    names = pipelines.ALERT.one_of
    for place, item in enumerate(settings.pipelines.thresholds):
        if item.alert not in names:
            raise SettingsError(
                f'pipelines.thresholds[{place}].alert: expected one of {", ".join(names)}, got "{item.alert}"'
            )


def threshold_samples(items: Sequence[PipelineThreshold], pipeline: str, phases: Iterable[str]) -> Iterator[Sample]:
    """Series of one pipeline. phases: those that are known; one that is named is told before it was ever seen.

    Of several items that fit the last one counts, for threshold and severity each on its own.
    """
    known = (WHOLE, *phases)
    values: dict[tuple[str, str], float] = {}
    severities: dict[tuple[str, str], str] = {}
    for item in items:
        if item.pipeline not in (ANY, pipeline):
            continue
        for phase in known if item.phase == ANY else (item.phase,):
            if item.threshold is not None:
                values[phase, item.alert] = item.threshold
            if item.severity:
                severities[phase, item.alert] = item.severity
    for (phase, alert), value in values.items():
        yield Sample(pipelines.THRESHOLD, (pipeline, phase, alert), value)
    for (phase, alert), severity in severities.items():
        yield Sample(pipelines.ALERT_SEVERITY, (pipeline, phase, alert, severity), 1)
