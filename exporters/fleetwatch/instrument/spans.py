"""Tasks and tool calls as spans, by OpenTelemetry's conventions for generative AI.

Texts of exceptions, arguments and results do not go into spans: they quote what people wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from fleetwatch.instrument import names
from fleetwatch.instrument.block import Entered, error_type, short, trouble
from fleetwatch.instrument.digest import digest
from fleetwatch.instrument.work import Process, Work
from fleetwatch.instrument.wrap import named, wrap

if TYPE_CHECKING:
    from fleetwatch.instrument.agent import Agent

F = TypeVar("F", bound=Callable[..., Any])

_TASK_KEY: Final = context.create_key("fleetwatch.task")
"""The open task travels in OpenTelemetry's own context, so it goes wherever that goes: threads, asyncio, greenlets."""


def current_task(of: context.Context | None = None) -> Task | None:
    """The innermost open task of a context (the current one), of whichever agent."""
    return context.get_value(_TASK_KEY, of)  # type: ignore[return-value]  # cast() would take a tenth of a state()


class Block(Entered):
    """A span of an agent around a block or a function."""

    def __init__(self, agent: Agent, called: str) -> None:
        super().__init__()
        self.agent = agent
        self._called = called
        self._failed = ""

    def fail(self, reason: str) -> None:
        """It failed, and no exception says so: max_turns, timeout, refused, … A short word, not a text."""
        self._failed = short(reason) or "error"

    def judge(self, name: str, score: float | None, label: str, model: str, provider: str) -> None:
        """An evaluation as the conventions' event, on this span."""
        try:
            told: dict[str, AttributeValue] = {names.EVALUATION: str(name)}
            if score is not None:
                told[names.SCORE] = float(score)
            texts = ((names.VERDICT, label), (names.RESPONSE_MODEL, model), (names.PROVIDER, provider))
            told.update((key, str(text)) for key, text in texts if text)
            self._span.add_event(names.EVALUATION_EVENT, told)
        except Exception:
            trouble("evaluation")

    def begin(self) -> None:
        """Begin without entering; for what runs in pieces, as generators do."""
        try:
            self._generation = Process.generation
            self.agent.begun()
            attributes = self._begin()
            self._span = self.agent.tracer.start_span(
                f"{attributes[names.OPERATION]!s} {self._called}", kind=SpanKind.INTERNAL, attributes=attributes
            )
            self._context = trace.set_span_in_context(self._span, self._context)
            self._began()
        except Exception:
            trouble("begin")

    def end(self, error: BaseException | None) -> None:
        # A child that was forked inside the block holds a copy; the span is its parent's to end.
        if self._generation != Process.generation:
            return
        try:
            self._end()
            failed = self._failed or (error_type(error) if error is not None else "")
            if failed:
                self._span.set_attribute(names.ERROR_TYPE, failed)
                self._span.set_status(Status(StatusCode.ERROR))
            self._span.end()
        except Exception:
            trouble("end")

    def _begin(self) -> dict[str, AttributeValue]:
        """Notes what is open, and may set the context; returns the span's attributes."""
        return self._attributes("evaluate")

    def _began(self) -> None:
        """What takes time and is worth it only when the span is recorded."""

    def _end(self) -> None:
        """Notes that it is no longer open."""

    def _attributes(self, operation: str) -> dict[str, AttributeValue]:
        found: dict[str, AttributeValue] = {names.OPERATION: operation, names.AGENT: self.agent.name}
        if self.agent.team:
            found[names.TEAM] = self.agent.team
        return found


class Task(Block):
    """One task of an agent: what it was asked to do, from beginning to end."""

    def __init__(self, agent: Agent, name: str) -> None:
        super().__init__(agent, agent.name)
        self._name = name
        self._reason = ""
        self.work: Work | None = None
        self.outer: Task | None = None

    def __call__(self, function: F) -> F:
        """As a decorator: every call is a task of its own, named after the function where it has no other name."""
        name = self._name or named(function)
        return wrap(function, lambda _: Task(self.agent, name))

    def done(self, reason: str) -> None:
        """It ended well, for this reason instead of `completed`: handed_over, nothing_to_do, … A short word."""
        self._reason = short(reason)

    def fail(self, reason: str) -> None:
        """It failed, and no exception says so: max_turns, timeout, refused, … A short word, not a text."""
        super().fail(reason)
        self._reason = self._failed

    def progress(self) -> None:
        """It got on with its work. Tools, sub-agents and states say so themselves; this is for long work between."""
        if self.work is not None:
            self.agent.doing.touch(self.work)

    def evaluation(
        self, name: str, score: float | None = None, label: str = "", *, model: str = "", provider: str = ""
    ) -> None:
        """How good it was: a score, mostly from 0 to 1, or a label (pass, fail, relevant …), or both.

        model, provider: whose answer was judged.
        """
        self.judge(name, score, label, model, provider)
        self.progress()

    def _begin(self) -> dict[str, AttributeValue]:
        agent, outer = self.agent, current_task()
        self.outer = outer
        self.work = Work(agent, outer.work if outer is not None else None)
        agent.doing.begin(self.work)
        self._context = context.set_value(_TASK_KEY, self)
        attributes = self._attributes("invoke_agent")
        told = ((names.VERSION, agent.version), (names.FRAMEWORK, agent.framework), (names.TASK, self._name))
        attributes.update((name, value) for name, value in told if value)
        return attributes

    def _end(self) -> None:
        if self.work is not None:
            self.agent.doing.end(self.work)
        if self._reason:
            self._span.set_attribute(names.EXIT_REASON, self._reason)


class Tool(Block):
    """One call of a tool. While it runs, the agent's state is waiting_tool."""

    def __init__(self, agent: Agent, name: str, arguments: object, call_id: str, kind: str) -> None:
        super().__init__(agent, name)
        self._arguments, self._call_id, self._kind = arguments, call_id, kind
        self._work: Work | None = None

    def __call__(self, function: F) -> F:
        """As a decorator: every call is a tool call, with the function's arguments and its result."""
        name = self._called or named(function)
        return wrap(function, lambda arguments: Tool(self.agent, name, arguments, self._call_id, self._kind))

    def result(self, value: object) -> None:
        """What came back. Only a digest of it is sent: it tells whether two calls brought the same."""
        try:
            if self._span.is_recording():
                self._span.set_attribute(names.RESULT_DIGEST, digest(value))
        except Exception:
            trouble("result")

    def _begin(self) -> dict[str, AttributeValue]:
        self._work = work = self.agent.work()
        if work is not None:
            work.said = ""
            work.tools[self] = None
            self.agent.doing.touch(work)
        attributes = self._attributes("execute_tool")
        attributes[names.TOOL] = self._called
        attributes[names.TOOL_TYPE] = self._kind
        if self._call_id:
            attributes[names.CALL_ID] = self._call_id
        return attributes

    def _began(self) -> None:
        if self._arguments is not None and self._span.is_recording():
            self._span.set_attribute(names.ARGUMENTS_DIGEST, digest(self._arguments))

    def _end(self) -> None:
        work = self._work
        if work is not None:
            work.said = ""
            work.tools.pop(self, None)
            self.agent.doing.touch(work)
