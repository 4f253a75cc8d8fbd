"""Tasks, tools and evaluations as spans of the real SDK."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

from fleetwatch.dialects import translate_traces
from fleetwatch.instrument import current_task, names
from fleetwatch.instrument.digest import digest
from fleetwatch.records.agents import AgentRun, Evaluation, ToolCall
from support_instrument import Application


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def test_a_task_is_an_invocation_of_its_agent() -> None:
    app = Application()
    me = app.agent(version="1.2", framework="langgraph", team="search")
    with me.task("summarise") as task:
        assert current_task() is task
    assert current_task() is None
    [span] = app.spans
    assert span.name == "invoke_agent researcher"
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "researcher",
        "gen_ai.agent.version": "1.2",
        "team": "search",
        "fleetwatch.agent.framework": "langgraph",
        "fleetwatch.task.name": "summarise",
    }
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == names.SCOPE


def test_a_tool_call_tells_digests_and_no_texts() -> None:
    app = Application()
    me = app.agent(team="search")
    with me.task(), me.tool("web_search", {"query": "my secret"}, call_id="call_1") as tool:
        tool.result("a secret answer")
    span = app.spans[0]
    assert span.name == "execute_tool web_search"
    assert attributes(span) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.agent.name": "researcher",
        "team": "search",
        "gen_ai.tool.name": "web_search",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_1",
        "fleetwatch.tool.arguments.digest": digest({"query": "my secret"}),
        "fleetwatch.tool.result.digest": digest("a secret answer"),
    }
    assert "secret" not in app.traces().SerializeToString().decode(errors="replace")


def test_sub_agents_and_tools_hang_below_their_task() -> None:
    app = Application()
    boss, helper = app.agent("boss"), app.agent("helper")
    with boss.task(), boss.tool("ask_helper"), helper.task(), helper.tool("search"):
        pass
    spans = app.spans
    assert [span.name for span in spans] == [
        "execute_tool search",
        "invoke_agent helper",
        "execute_tool ask_helper",
        "invoke_agent boss",
    ]
    for span, around in itertools.pairwise(spans):
        assert span.parent is not None
        assert around.context is not None
        assert span.parent.span_id == around.context.span_id


class OurError(Exception):
    """An error of an application."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("a secret"), "ValueError"),
        (OurError("a secret"), f"{__name__}.OurError"),
        (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
        (TimeoutError(), "TimeoutError"),
        (KeyboardInterrupt(), "cancelled"),
        (SystemExit(1), "cancelled"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_passes_and_leaves_its_type(error: BaseException, told: str) -> None:
    app = Application()
    me = app.agent()
    with pytest.raises(type(error)), me.task(), me.tool("search"):
        raise error
    assert [attributes(span)[names.ERROR_TYPE] for span in app.spans] == [told, told]
    assert {span.status.status_code for span in app.spans} == {StatusCode.ERROR}
    assert {span.status.description for span in app.spans} == {None}
    assert [span.events for span in app.spans] == [(), ()]
    assert app.state() == "idle"


def test_a_task_tells_why_it_ended() -> None:
    app = Application()
    me = app.agent()
    with me.task() as task:
        task.done("handed_over")
    with me.task() as task:
        task.fail("max_turns")
    with me.task(), me.tool("search") as tool:
        tool.fail("no_answer")
    well, badly, search, handled = app.spans
    assert attributes(well)[names.EXIT_REASON] == "handed_over"
    assert well.status.status_code is StatusCode.UNSET
    assert attributes(badly)[names.EXIT_REASON] == attributes(badly)[names.ERROR_TYPE] == "max_turns"
    assert badly.status.status_code is StatusCode.ERROR
    assert attributes(search)[names.ERROR_TYPE] == "no_answer"
    assert names.ERROR_TYPE not in attributes(handled)


def test_an_evaluation_is_the_conventions_event_on_the_task() -> None:
    app = Application()
    me = app.agent()
    with me.task() as task:
        task.evaluation("relevance", 0.75, "pass", model="gpt-4o", provider="openai")
        me.evaluation("tone", label="friendly")
    events = [(event.name, dict(event.attributes or {})) for event in app.spans[0].events]
    assert events == [
        (
            "gen_ai.evaluation.result",
            {
                "gen_ai.evaluation.name": "relevance",
                "gen_ai.evaluation.score.value": 0.75,
                "gen_ai.evaluation.score.label": "pass",
                "gen_ai.response.model": "gpt-4o",
                "gen_ai.provider.name": "openai",
            },
        ),
        ("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.label": "friendly"}),
    ]


def test_an_evaluation_outside_of_a_task_makes_no_task() -> None:
    app = Application()
    app.agent().evaluation("relevance", 1)
    [span] = app.spans
    assert attributes(span)[names.OPERATION] == "evaluate"
    assert [event.name for event in span.events] == ["gen_ai.evaluation.result"]
    assert app.value(names.OPEN_TASKS) == 0


def test_functions_are_tasks_and_tools() -> None:
    app = Application()
    me = app.agent()

    @me.tool
    def search(query: str, limit: int = 3) -> list[str]:
        return [query] * limit

    @me.tool("lookup")
    async def look_up(key: str) -> str:
        await asyncio.sleep(0)
        return key

    @me.task
    async def answer(question: str) -> str:
        """Answers."""
        assert search(question, limit=1) == search(query=question, limit=1)
        return await look_up(question)

    assert answer.__doc__ == "Answers."
    assert asyncio.run(answer("why?")) == "why?"
    first, second, third, task = app.spans
    assert [span.name for span in app.spans[:3]] == [
        "execute_tool search",
        "execute_tool search",
        "execute_tool lookup",
    ]
    assert attributes(first)[names.ARGUMENTS_DIGEST] == digest({"query": "why?", "limit": 1})
    assert attributes(first)[names.ARGUMENTS_DIGEST] == attributes(second)[names.ARGUMENTS_DIGEST]
    assert attributes(third)[names.RESULT_DIGEST] == digest("why?")
    assert attributes(task)[names.TASK] == "answer"
    assert all(span.parent for span in (first, second, third))


def test_methods_leave_themselves_out_of_the_digest() -> None:
    app = Application()
    me = app.agent()

    class Tools:
        @me.tool
        def add(self, one: int, *more: int, **named: int) -> int:
            return one + sum(more) + sum(named.values())

    assert Tools().add(1, 2, 3, four=4) == 10
    assert Tools().add(1) == 1
    told = [attributes(span)[names.ARGUMENTS_DIGEST] for span in app.spans]
    assert told == [digest({"one": 1, "*": [2, 3], "four": 4}), digest({"one": 1})]


def test_an_error_passes_through_a_decorated_function() -> None:
    app = Application()
    me = app.agent()

    @me.task("divide")
    def divide(number: int) -> float:
        return 1 / number

    @me.task("divide_later")
    async def divide_later(number: int) -> float:
        return divide(number)

    assert divide(2) == 0.5
    with pytest.raises(ZeroDivisionError):
        asyncio.run(divide_later(0))
    assert [attributes(span).get(names.ERROR_TYPE) for span in app.spans] == [
        None,
        "ZeroDivisionError",
        "ZeroDivisionError",
    ]


def test_a_generator_is_one_task_however_it_is_read(caplog: pytest.LogCaptureFixture) -> None:
    app = Application()
    me = app.agent()

    @me.task
    def stream(pieces: int) -> Iterator[int]:
        for number in range(pieces):
            assert current_task() is not None
            with me.tool("next"):
                pass
            yield number

    for number in stream(3):
        assert current_task() is None, number
        assert app.value(names.OPEN_TASKS) == 1
    reader = stream(3)
    assert next(reader) == 0
    reader.close()  # type: ignore[attr-defined]  # an iterator by its annotation
    tasks = [span for span in app.spans if span.name == "invoke_agent researcher"]
    assert [attributes(span).get(names.ERROR_TYPE) for span in tasks] == [None, "cancelled"]
    assert app.value(names.OPEN_TASKS) == 0
    assert caplog.text == ""


def test_what_is_sent_and_thrown_into_a_generator_arrives() -> None:
    me = Application().agent()

    @me.task
    def echo() -> Any:
        got: list[str] = []
        try:
            while True:
                got.append((yield got))
        except KeyError:
            return "ended"

    reader = echo()
    next(reader)
    assert reader.send("a") == ["a"]
    with pytest.raises(StopIteration) as stop:
        reader.throw(KeyError)
    assert stop.value.value == "ended"


def test_an_async_generator_is_one_task(caplog: pytest.LogCaptureFixture) -> None:
    app = Application()
    me = app.agent()

    @me.task
    async def stream(pieces: int) -> AsyncIterator[int]:
        for number in range(pieces):
            await asyncio.sleep(0)
            assert current_task() is not None
            yield number
        if pieces == 2:
            raise OurError

    async def read() -> None:
        assert [number async for number in stream(3)] == [0, 1, 2]
        assert current_task() is None
        with pytest.raises(OurError):
            assert [number async for number in stream(2)]
        reader = stream(5)
        assert await anext(reader) == 0
        await reader.aclose()  # type: ignore[attr-defined]  # an iterator by its annotation

    asyncio.run(read())
    assert [attributes(span).get(names.ERROR_TYPE) for span in app.spans] == [
        None,
        f"{__name__}.OurError",
        "cancelled",
    ]
    assert app.value(names.OPEN_TASKS) == 0
    assert caplog.text == ""


class Broken(SpanProcessor):
    def on_start(self, span: Span, parent_context: object = None) -> None:
        raise OSError("no such thing")

    def on_end(self, span: ReadableSpan) -> None:
        raise OSError("no such thing")


class Unprintable:
    def __str__(self) -> str:
        raise OSError("no text")

    __repr__ = __str__


def test_whatever_fails_in_here_does_not_fail_the_application(caplog: pytest.LogCaptureFixture) -> None:
    app = Application(Broken())
    odd: Any = Unprintable()
    me = app.agent(odd, version=odd, team=odd)
    ran = 0
    with caplog.at_level(logging.CRITICAL):
        for _ in range(3):
            with me, me.task(odd) as task, me.tool(odd, {"a": odd, (1, 2): odd}) as tool:
                ran += 1
                tool.result(odd)
                tool.fail(odd)
                task.done(odd)
                task.evaluation(odd, odd, odd)
                me.evaluation(odd, "0.5")  # type: ignore[arg-type]  # as callers do
                me.state(odd)
                me.queue(odd, odd)
                me.progress()
    assert ran == 3
    assert app.value(names.OPEN_TASKS, "unknown") in {0, None}


def test_a_name_is_bounded() -> None:
    app = Application()
    with app.agent("a" * 1000).task("b" * 1000):
        pass
    assert max(len(str(value)) for value in attributes(app.spans[0]).values()) == 200


def test_the_receiver_reads_what_is_sent() -> None:
    app = Application()
    boss, helper = app.agent("boss", team="search"), app.agent("helper")
    with boss.task() as task:
        with helper.task() as inner:
            inner.fail("max_turns")
        for number in (1, 1, 2):
            with boss.tool("search", {"n": number}, call_id="call_AbCdEf0123") as tool:
                tool.result("found")
        task.done("handed_over")
        task.evaluation("relevance", 0.5, "pass")
    boss.evaluation("tone", 1)
    records = translate_traces(app.traces()).records
    runs = [record for record in records if isinstance(record, AgentRun)]
    assert [(run.agent, run.team, run.outcome, run.exit_reason) for run in runs] == [
        ("helper", "support", "error", "max_turns"),
        ("boss", "search", "ok", "handed_over"),
    ]
    assert runs[0].parent == runs[1].span[16:]
    calls = [record for record in records if isinstance(record, ToolCall)]
    assert [(call.agent, call.team, call.tool, call.outcome) for call in calls] == [
        ("boss", "search", "search", "ok")
    ] * 3
    assert calls[0].arguments == calls[1].arguments != calls[2].arguments
    assert {len(call.result) for call in calls} == {8}
    assert len({call.call_id for call in calls} | {b""}) == 2
    judged = [record for record in records if isinstance(record, Evaluation)]
    assert [(item.agent, item.team, item.name, item.score, item.verdict) for item in judged] == [
        ("boss", "search", "relevance", 0.5, "pass"),
        ("boss", "search", "tone", 1, ""),
    ]
