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
