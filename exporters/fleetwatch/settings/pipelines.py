"""Pipelines."""

# The types below are read while the program runs, so they are no strings: no `from __future__ import annotations`.

from typing import Annotated, Literal

from fleetwatch.settings.kinds import Seconds, Usd, why
from fleetwatch.settings.section import Section


class PipelineSpans(Section, frozen=True, kw_only=True):
    """Spans of a pipeline that does not follow OpenTelemetry's CI/CD conventions. The first mapping that fits counts.

    Patterns: * and ? stand for other text. A root span that fits `run` is a run, a span in its trace that fits `phase`
    a phase; where `phase` is *, only the run's children are, and no calls of other services.
    """

    service: Annotated[str, why("Pattern of the service's name.")] = "*"
    run: Annotated[str, why("Pattern of the names of spans that are runs.")]
    phase: Annotated[str, why("Pattern of the names of spans that are phases; *: the children of the run.")] = "*"
    pipeline: Annotated[str, why("Attribute of the run's span with the pipeline's name; empty: the span's name.")] = ""
    run_id: Annotated[str, why("Attribute of the run's span with the run's id; empty: the trace's id.")] = ""
    phase_name: Annotated[str, why("Attribute of the phase's span with its name; empty: the span's name.")] = ""
    items: Annotated[str, why("Attribute of the phase's span with the number of items that it put out.")] = ""
    items_in: Annotated[str, why("Likewise, of items that it took in.")] = ""
    artifacts: Annotated[str, why("Likewise, of artifacts that it made.")] = ""


class PipelineSignal(Section, frozen=True, kw_only=True):
    """A signal of the domain, told with `phase.signal(name, value)`: a series for each pipeline and phase."""

    name: Annotated[str, why("Its name: the label `signal`.")]
    kind: Annotated[Literal["counter", "gauge"], why("Whether values add up, or the last one holds.")] = "counter"
    pipeline: Annotated[str, why("Pattern of pipelines that may tell it.")] = "*"


class ExpectedPipeline(Section, frozen=True, kw_only=True):
    """A pipeline that ought to run."""

    pipeline: Annotated[str, why("Its name.")]
    every: Annotated[Seconds, why("How often a run ought to end well; it is missed after twice as long.")]


class PipelineThreshold(Section, frozen=True, kw_only=True):
    """Another threshold or severity of an alert, for some pipelines or phases. Of several the last one counts."""

    alert: Annotated[str, why("Name of the alert: PhaseSlower, RunOverdue, ….")]
    pipeline: Annotated[str, why("Name of the pipeline; * for all.")] = "*"
    phase: Annotated[str, why("Name of the phase; empty for the whole run; * for both.")] = "*"
    threshold: Annotated[float | None, why("In the unit that the alert's runbook names; empty: the usual one.")] = None
    severity: Annotated[Literal["", "page", "ticket", "info"], why("Empty: the usual one.")] = ""


class MachinePrice(Section, frozen=True, kw_only=True):
    """What a machine costs, for the share that runs have of it. The first one that fits a run's machine counts."""

    host: Annotated[str, why("Pattern of host names.")] = "*"
    usd_per_hour: Annotated[Usd, why("US dollars an hour, of the whole machine.")]
    share: Annotated[
        Literal["cpu", "whole"],
        why("cpu: the share of its processors' time that the run took; whole: all of it while the run lasts."),
    ] = "cpu"


class Pipelines(Section, frozen=True):
    """Pipelines: their recent runs, when one is given up, what they cost, when they are late or slow."""

    slots: Annotated[int, why("Recent runs of each pipeline that boards show.", ge=2, le=100)] = 10
    max_phases: Annotated[int, why("Names of phases taken of one pipeline; the others become `_other`.", ge=1)] = 50
    max_executions: Annotated[
        int, why("Executions of phases of one run; what comes past it is left out, and counted so.", ge=10)
    ] = 1000
    max_open: Annotated[int, why("Runs under way at most, of all pipelines; new ones past it are left out.", gt=0)] = (
        1000
    )
    keep_days: Annotated[int, why("Days that single runs and phases are kept.", gt=0)] = 90
    lost_after: Annotated[
        float, why("Of its own intervals without a report, at least 15 s, after which a run is given up.", ge=2)
    ] = 3.0
    silent_after: Annotated[
        Seconds, why("Time without a word after which a run is given up whose sender does not report at intervals.")
    ] = 86400.0
    forget_after: Annotated[
        Seconds, why("Time without a run after which a pipeline's series end; one that is expected stays.")
    ] = 30 * 86400.0
    history: Annotated[int, why("Past runs that predictions and comparisons look at.", ge=20, le=1000)] = 100
    recent: Annotated[int, why("Last runs that are compared with those before them.", ge=3, le=50)] = 5
    spans: Annotated[list[PipelineSpans], why("Mappings of other spans.")] = []
    signals: Annotated[list[PipelineSignal], why("Signals that become series.")] = []
    expected: Annotated[list[ExpectedPipeline], why("Pipelines that ought to run.")] = []
    thresholds: Annotated[list[PipelineThreshold], why("Other thresholds and severities, by pipeline and phase.")] = []
    machines: Annotated[list[MachinePrice], why("What machines cost.")] = []
