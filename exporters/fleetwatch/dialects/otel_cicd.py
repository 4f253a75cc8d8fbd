"""OpenTelemetry's CI/CD conventions: spans of pipelines' runs and phases, whoever sends them.

    cicd.pipeline.task.name           a phase
    cicd.pipeline.result, or a root   a run, where the pipeline is named
    other spans of these systems      Step, so that the tree stays whole; so are runs and phases

`fleetwatch.instrument` sends these spans with more about each phase (`fleetwatch.phase.*`). Others differ:

- The Collector's receivers for GitHub and GitLab put run and result on the resource, and the span has nothing. GitHub's
  tells each job in a resource of its own, where `cicd.pipeline.name` is the job's name and no run is named.
- Jenkins' plugin has words of its own (`ci.pipeline.*`, `jenkins.pipeline.step.*`); stages are its phases.
- Nobody but the instrumentation names the pipeline on each phase. Such phases go without, and the ledger finds the run
  by the trace.

A phase inside a phase is a sub-phase: by the parents, as far as they come in one request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.parts import pipeline_facts as facts
from fleetwatch.dialects.parts.dialect import EARLIEST, MAX_LEAD, Batch, Dialect
from fleetwatch.dialects.parts.identity import parent_of, span_ids
from fleetwatch.dialects.parts.pipeline_facts import Found, text
from fleetwatch.dialects.parts.pipeline_results import ended
from fleetwatch.dialects.parts.resource import PipelineRun, Resource
from fleetwatch.dialects.parts.text import UNKNOWN, clean
from fleetwatch.dialects.parts.versions import count_unknown
from fleetwatch.records.agents import Step
from fleetwatch.records.pipelines import PhaseReport, RunReport

_OURS: Final = ("cicd.pipeline.", "ci.pipeline.", "jenkins.pipeline.step.")
"""How the attributes of a span begin that belongs to a pipeline."""
_IN_ALL: Final = b".pipeline."
"""What these beginnings share."""

_PIPELINES: Final = (facts.PIPELINE, "ci.pipeline.id")
_RUNS: Final = (facts.RUN, "ci.pipeline.run.number")
_RUN_RESULTS: Final = (
    facts.RUN_RESULT,
    "cicd.pipeline.run.result",
    "cicd.pipeline.run.status",
    "ci.pipeline.run.result",
)
_GITHUB_STATUS: Final = "cicd.pipeline.run.task.status"
_TASK_RESULTS: Final = (facts.TASK_RESULT, _GITHUB_STATUS, "jenkins.pipeline.step.result")
_STEP_TYPE, _STEP_NAME = "jenkins.pipeline.step.type", "jenkins.pipeline.step.name"
_GITHUB_ATTEMPT: Final = "github.run_attempt"
_QUEUE: Final = "cicd.pipeline.run.queue.duration"

READ: Final = (
    facts.WHO
    | facts.TALLY
    | facts.USAGE
    | {facts.VERSION, facts.CORES, facts.REASON, facts.ERROR_TYPE, "exception.type"}
    | {*_PIPELINES, *_RUNS, *_RUN_RESULTS, *_TASK_RESULTS, _STEP_TYPE, _STEP_NAME, _GITHUB_ATTEMPT, _QUEUE}
)  # fmt: skip - a line for each kind
"""Attributes of spans that are read."""

_UNIQUE: Final = 6
"""Characters from which the id of a task's run is unique in its run; some senders count up in each job."""
_DEEPEST: Final = 8
"""Spans between a sub-phase and its phase that are looked through."""
_PREVIOUS = re.compile(r"/attempts/(\d{1,6})$")


def read_spans(resource: Resource, spans: Iterable[Span], batch: Batch) -> list[Span]:
    """Runs and phases of the spans into the batch; returns the spans that are no part of a pipeline."""
    told, sent = resource.run, list(spans)
    reported = told is not None and bool(told.result or told.task_run)
    rest = [span for span in sent if not _read_span(span, resource, batch, reported)]
    count_unknown(batch, DIALECT.name, len(sent) - len(rest))
    return rest


def _read_span(span: Span, resource: Resource, batch: Batch, ours: bool) -> bool:
    """Whether the span belongs to a pipeline; what it says goes into the batch, or its refusal does."""
    if not ours and not _is_ours(span):
        return False
    found = {item.key: item.value for item in span.attributes if item.key in READ}
    ids = span_ids(span.trace_id, span.span_id)
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    batch.newest = max(batch.newest, end)
    if not EARLIEST <= start <= end <= batch.now + MAX_LEAD:
        batch.reject("bad_time")
    elif not ids:
        batch.reject("no_id")
    else:
        parent = parent_of(span)
        batch.records.append(Step(ids, parent, start, end))
        _tell(_Told(span, resource, found, batch), ids, parent, batch)
    return True


def _is_ours(span: Span) -> bool:
    """Whether an attribute is of a pipeline."""
    # Most spans are somebody else's, and their bytes tell that in half the time of a look at the attributes.
    return _IN_ALL in span.SerializeToString() and any(item.key.startswith(_OURS) for item in span.attributes)


def _tell(told: _Told, ids: bytes, parent: bytes, batch: Batch) -> None:
    place = -1
    if (name := told.task()) is not None:
        place = len(batch.records)
        batch.records.append(told.phase(name, ids, parent))
    elif (pipeline := told.run(parent)) is not None:
        batch.records.append(pipeline)
    if not told.own:
        batch.tree[ids] = (ids[:16] + parent if parent else b"", place)


class _Told:
    """What a span of a pipeline says. own: whether our own instrumentation says it."""

    def __init__(self, span: Span, resource: Resource, found: Found, batch: Batch) -> None:
        self.span, self.resource, self.found = span, resource, found
        self.own = batch.scope.name == facts.SCOPE
        self._now = batch.now

    def task(self) -> str | None:
        """Name of the phase that the span is; None for what is none."""
        found = self.found
        if name := text(found, facts.TASK):
            return name
        if facts.TASK_RUN in found:
            return clean(self.span.name) or UNKNOWN
        if text(found, _STEP_TYPE).lower() == "stage":
            return text(found, _STEP_NAME) or clean(self.span.name) or UNKNOWN
        job = self._job()
        return job.pipeline if job is not None else None

    def phase(self, name: str, ids: bytes, parent: bytes) -> PhaseReport:
        found = self.found
        task = facts.task_of(found, name)
        pipeline, run = self._run_of_phase()
        return PhaseReport(
            **self._ended(self._task_result()),
            pipeline=pipeline,
            run=run,
            execution=task.execution if self._is_unique(task.execution) else ids[16:].hex(),
            phase=task.phase,
            subphase=task.subphase,
            attempt=task.attempt,
            parent=parent,
            host=self._host(),
            usage=facts.usage_of(found),
            tally=facts.tally_of(found),
        )

    def run(self, parent: bytes) -> RunReport | None:
        """The run that the span is; None for what is none. Of a resource that names a result only the root is one."""
        span, found, told = self.span, self.found, self.resource.run
        result = self._first(_RUN_RESULTS)
        pipeline = self._pipeline()
        named_here = any(key in found for key in _PIPELINES)
        if not pipeline or not (result or (not parent and (named_here or (told is not None and told.result)))):
            return None
        return RunReport(
            **self._ended(result or (told.result if told is not None else "")),
            pipeline=pipeline,
            run=self._run_id() or span.trace_id.hex(),
            host=self._host(),
            instance=self.resource.instance or text(found, facts.PROCESS),
            version=text(found, facts.VERSION),
            cores=facts.count(found.get(facts.CORES), facts.MOST_CORES) or None,
            usage=facts.usage_of(found),
        )

    def _ended(self, result: str) -> dict[str, Any]:
        source = "instrument" if self.own else "spans"
        return {**ended(self.span, self.found, result, self._now), "source": source}

    def _job(self) -> PipelineRun | None:
        """The resource, where it reports a job and the span is that: those inside it say themselves what they are."""
        told = self.resource.run
        is_job = told is not None and told.task_run and told.pipeline and not self.found.keys() & _OF_OTHER_SPANS
        return told if is_job else None

    def _task_result(self) -> str:
        job = self._job()
        if job is not None:
            return job.task_result or job.result
        result = self._first(_TASK_RESULTS)
        # GitHub's receiver calls a step a failure that was skipped, and leaves the span's status unset.
        is_skipped = _GITHUB_STATUS in self.found and result == "failure" and not self.span.status.code
        return "skip" if is_skipped else result

    def _run_of_phase(self) -> tuple[str, str]:
        """(pipeline, run) of a phase; both empty where one is not told, for then the trace tells."""
        pipeline, run = self._pipeline(), self._run_id()
        return (pipeline, run) if pipeline and run else ("", "")

    def _pipeline(self) -> str:
        """Name of the pipeline: unique only in its repository, where one is told."""
        own, told = self._first(_PIPELINES), self.resource.run
        if self.own or told is None:
            return own or ("" if told is None or told.task_run else told.pipeline)
        if told.task_run:
            return own
        name = own or told.pipeline
        if not name:  # of GitLab it may have none
            return self.resource.name if told.run else ""
        if not told.repository or name.startswith(told.repository):
            return name
        return clean(f"{told.repository}/{name}")

    def _run_id(self) -> str:
        """The run's id. GitHub has one id for all attempts, which are runs of their own."""
        told = self.resource.run
        run = self._first(_RUNS) or (told.run if told is not None else "")
        previous = _PREVIOUS.search(told.previous) if told is not None and told.previous else None
        attempt = int(previous[1]) + 1 if previous else facts.count(self.found.get(_GITHUB_ATTEMPT), 10**6) or 1
        return clean(f"{run[:180]}-{attempt}") if run and attempt > 1 else run

    def _is_unique(self, execution: str) -> bool:
        """Whether the id is unique in its run: it is of our kind of sender, or long enough."""
        known = self.own or len(execution) >= _UNIQUE or not facts.TALLY.isdisjoint(self.found)
        return bool(execution) and known

    def _host(self) -> str:
        return self.resource.host or text(self.found, facts.HOST)

    def _first(self, keys: Iterable[str]) -> str:
        return next((told for key in keys if (told := text(self.found, key))), "")


_OF_OTHER_SPANS: Final = frozenset({facts.TASK, facts.TASK_RUN, _QUEUE, *_TASK_RESULTS, *_RUN_RESULTS})
"""What only spans inside a job's have, where the job is told by the resource."""


def nest(batch: Batch) -> None:
    """Phases of the request that lie in another one become its sub-phases."""
    records = batch.records
    for parent, place in batch.tree.values():
        phase = records[place] if place >= 0 else None
        if isinstance(phase, PhaseReport) and not phase.subphase and (outer := _outermost(parent, batch)):
            records[place] = phase._replace(phase=outer, subphase=phase.phase)


def _outermost(ids: bytes, batch: Batch) -> str:
    """Name of the outermost phase that is this span or lies around it; empty where none does."""
    name = ""
    for _ in range(_DEEPEST):
        if ids not in batch.tree:
            break
        ids, place = batch.tree[ids]
        record = batch.records[place] if place >= 0 else None
        if isinstance(record, PhaseReport):
            name = record.phase
    return name


DIALECT = Dialect("otel_cicd", 120, read_spans, finish=nest)
