"""What is said, and how it is named.

OpenTelemetry's own names where there are some; `fleetwatch.*` for the rest. The receiver and the catalogue have the
same names; a test compares them, for this package imports nothing of theirs.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "fleetwatch.instrument"
"""Name of the tracer and the meter."""

# --- attributes of OpenTelemetry
OPERATION: Final = "gen_ai.operation.name"
AGENT: Final = "gen_ai.agent.name"
VERSION: Final = "gen_ai.agent.version"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
PROVIDER: Final = "gen_ai.provider.name"
TOOL: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
CALL_ID: Final = "gen_ai.tool.call.id"
ERROR_TYPE: Final = "error.type"
HOST: Final = "host.name"
PROCESS: Final = "process.pid"
TEAM: Final = "team"
EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
EVALUATION: Final = "gen_ai.evaluation.name"
SCORE: Final = "gen_ai.evaluation.score.value"
VERDICT: Final = "gen_ai.evaluation.score.label"

# --- attributes of our own
FRAMEWORK: Final = "fleetwatch.agent.framework"
STATE_VALUE: Final = "fleetwatch.agent.state"
TASK: Final = "fleetwatch.task.name"
EXIT_REASON: Final = "fleetwatch.task.exit_reason"
ARGUMENTS_DIGEST: Final = "fleetwatch.tool.arguments.digest"
"""16 hex digits of the arguments' canonical JSON."""
RESULT_DIGEST: Final = "fleetwatch.tool.result.digest"

# --- gauges
INFO: Final = "agent.info"
STATE: Final = "agent.state"
HEARTBEAT: Final = "agent.last_heartbeat.timestamp"
PROGRESS: Final = "agent.last_progress.timestamp"
INTERVAL: Final = "agent.heartbeat.interval"
OPEN_TASKS: Final = "agent.open_tasks"
QUEUE_DEPTH: Final = "agent.queue.depth"
QUEUE_AGE: Final = "agent.queue.oldest_age"
GOODBYE: Final = "agent.goodbye.timestamp"

STATES: Final = ("idle", "working", "waiting_tool", "waiting_human", "blocked", "draining", "failed")
"""What an agent can be doing; one at a time."""

# --- pipelines: OpenTelemetry's CI/CD conventions
PIPELINE: Final = "cicd.pipeline.name"
ACTION: Final = "cicd.pipeline.action.name"
RUN_ID: Final = "cicd.pipeline.run.id"
RUN_STATE: Final = "cicd.pipeline.run.state"
RUN_RESULT: Final = "cicd.pipeline.result"
PHASE: Final = "cicd.pipeline.task.name"
PHASE_RUN_ID: Final = "cicd.pipeline.task.run.id"
"""Id of one execution of a phase, unique within the run."""
PHASE_RESULT: Final = "cicd.pipeline.task.run.result"

# --- pipelines: attributes of our own, of spans, events and points. Spans and events also have HOST and PROCESS, and
# those of phases PIPELINE and RUN_ID. Counts and usage are on spans and heartbeats only: a beginning has none yet.
PIPELINE_VERSION: Final = "fleetwatch.pipeline.version"
CORES: Final = "fleetwatch.pipeline.cores"
REASON: Final = "fleetwatch.pipeline.reason"
"""Why a run or phase ended: completed, phase, exception, reported, exit, killed."""
PHASE_OF: Final = "fleetwatch.phase.of"
"""Of a sub-phase: name of its phase. The task's own name is then that of the sub-phase."""
ATTEMPT: Final = "fleetwatch.phase.attempt"
ITEMS_IN: Final = "fleetwatch.phase.items.in"
ITEMS_OUT: Final = "fleetwatch.phase.items.out"
ITEMS_EXPECTED: Final = "fleetwatch.phase.items.expected"
WARNINGS: Final = "fleetwatch.phase.warnings"
ARTIFACTS: Final = "fleetwatch.phase.artifacts"
ARTIFACT_SIZE: Final = "fleetwatch.phase.artifacts.size"
ERRORS: Final = "fleetwatch.phase.errors"
"""A list of texts like `ValueError=3`."""
SIGNALS: Final = "fleetwatch.phase.signals"
"""A list of texts like `irrigation.events=12.5`."""
CPU_TIME: Final = "fleetwatch.usage.cpu.time"
"""Seconds."""
MEMORY_PEAK: Final = "fleetwatch.usage.memory.peak"
IO_READ: Final = "fleetwatch.usage.io.read"
IO_WRITTEN: Final = "fleetwatch.usage.io.written"
"""Bytes."""

# --- pipelines: events (log records), told when something begins, so that it shows while it lasts
RUN_STARTED: Final = "fleetwatch.pipeline.run.started"
PHASE_STARTED: Final = "fleetwatch.pipeline.phase.started"

# --- pipelines: events instead of gauges, for what no gauge has room for
RUN_BEAT: Final = "fleetwatch.pipeline.run.heartbeat"
"""With PIPELINE_VERSION, CORES and BEAT_INTERVAL."""
PHASE_BEAT: Final = "fleetwatch.pipeline.phase.heartbeat"
"""With counts and usage so far, as its span has them in the end."""
BEAT_INTERVAL: Final = "fleetwatch.pipeline.heartbeat.interval"
"""Seconds between two heartbeats."""

# --- pipelines: gauges; with PIPELINE, RUN_ID, HOST, PROCESS, of phases also PHASE, PHASE_RUN_ID, PHASE_OF, ATTEMPT.
# A count that is still 0 is not told, and neither is a time of processors that is not exact yet.
RUN_HEARTBEAT: Final = "pipeline.run.last_heartbeat.timestamp"
RUN_INTERVAL: Final = "pipeline.run.heartbeat.interval"
RUN_START: Final = "pipeline.run.start.timestamp"
"""With PIPELINE_VERSION and CORES."""
PHASE_START: Final = "pipeline.phase.start.timestamp"
PHASE_ITEMS: Final = "pipeline.phase.items.so_far"
"""With DIRECTION: in or out."""
PHASE_EXPECTED: Final = "pipeline.phase.items.expected"
PHASE_WARNINGS: Final = "pipeline.phase.warnings.so_far"
PHASE_ARTIFACTS: Final = "pipeline.phase.artifacts.so_far"
PHASE_ARTIFACT_SIZE: Final = "pipeline.phase.artifact.size.so_far"
"""Bytes."""
PHASE_ERRORS: Final = "pipeline.phase.errors.so_far"
"""With ERROR_TYPE."""
PHASE_CPU: Final = "pipeline.phase.cpu.so_far"
"""Seconds."""
PHASE_MEMORY: Final = "pipeline.phase.memory.so_far"
"""Bytes."""
PHASE_SIGNAL: Final = "pipeline.phase.signal.so_far"
"""With SIGNAL."""
DIRECTION: Final = "fleetwatch.phase.direction"
SIGNAL: Final = "fleetwatch.phase.signal"
OTHER: Final = "_other"
"""Stands for error types and signals past the bound."""

# --- pipelines: variables of a child process; the first two by W3C Trace Context
TRACEPARENT: Final = "TRACEPARENT"
TRACESTATE: Final = "TRACESTATE"
JOIN: Final = "FLEETWATCH_JOIN"
"""JSON: pipeline, run, version and phase that the child belongs to."""
