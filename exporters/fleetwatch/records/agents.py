"""What is known of agents: their invocations, tool calls, evaluations, and what they say of themselves."""

from __future__ import annotations

from typing import NamedTuple

STATES = ("idle", "working", "waiting_tool", "waiting_human", "blocked", "draining", "failed")
"""What an agent can be doing; one at a time."""


class AgentRun(NamedTuple):
    """One invocation of an agent or workflow that has ended: a task of that agent."""

    span: bytes
    """Trace id and span id, 24 bytes: its identity."""
    parent: bytes
    """Span id of the parent, 8 bytes; empty for the root of a trace."""
    start: int
    at: int
    """Start and end, Unix nanoseconds."""
    agent: str
    team: str
    outcome: str
    """As of LLM calls: ok, error, timeout, refused, cancelled."""
    exit_reason: str
    """Why it ended, in few words of a small vocabulary: completed, max_turns, error type …"""
    host: str = ""
    """host.name of the process, where told."""


class ToolCall(NamedTuple):
    """One call of a tool that has ended."""

    span: bytes
    parent: bytes
    start: int
    at: int
    agent: str
    team: str
    tool: str
    outcome: str
    """ok, error, timeout, refused, cancelled."""
    error_type: str
    arguments: bytes = b""
    """Digest of tool and arguments, 8 bytes; empty where the sender keeps arguments to itself."""
    result: bytes = b""
    """Digest of the result, 8 bytes; empty where unknown."""
    call_id: bytes = b""
    """Digest of the provider's tool call id, 8 bytes: two instrumentations of one tool call share it; else empty."""


class Step(NamedTuple):
    """A span between agents and calls that is neither: chain, retriever, workflow step. It keeps the tree whole."""

    span: bytes
    parent: bytes
    start: int
    at: int


class Evaluation(NamedTuple):
    """One result of an evaluation (`gen_ai.evaluation.result`)."""

    key: bytes
    """24 bytes, the same for the same result however often it is sent."""
    at: int
    agent: str
    team: str
    provider: str
    model: str
    """Of the evaluated call; UNKNOWN's word where not told."""
    name: str
    score: float | None
    verdict: str
    """The label that the evaluator gave: pass, fail, relevant …; empty where it gave only a score."""


class AgentBeat(NamedTuple):
    """What an agent's process says of itself at one time; a piece of it where an export came in pieces.

    None: not told in this piece. Times are Unix nanoseconds by the sender's clock.
    """

    agent: str
    team: str
    instance: str
    """Identity of the process: service.instance.id, else host and process id, else empty."""
    host: str
    at: int
    """When it was collected, at most when it arrived."""
    interval: int | None = None
    """Nanoseconds between two beats."""
    progress: int | None = None
    """When it last got on with its work."""
    state: str | None = None
    """One of STATES."""
    open_tasks: int | None = None
    queue_depth: int | None = None
    queue_age: float | None = None
    """Seconds that the oldest waiting task has waited."""
    version: str = ""
    framework: str = ""
    model: str = ""
    goodbye: bool = False
    """It ends now, and does so on purpose."""


class AgentProcess(NamedTuple):
    """A process of an agent, as the roster knows it. Times are Unix nanoseconds by this machine's clock unless told."""

    agent: str
    host: str
    instance: str
    team: str
    first_seen: int
    last_report: int
    sent: int
    """Time of the newest beat by the sender's own clock."""
    lag: int
    """How far the sender's clock is behind, with the shortest time that a beat is under way."""
    interval: int
    """Nanoseconds between two of its beats."""
    progress: int | None = None
    """When it last got on with its work; None where it never said."""
    state: str = ""
    """One of STATES; empty where it never said."""
    version: str = ""
    framework: str = ""
    model: str = ""
    goodbye_at: int | None = None
    silent_at: int | None = None
    """When it was found silent; None for one that reports or said goodbye."""
