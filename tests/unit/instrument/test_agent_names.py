"""Spans of other libraries inside an agent's task carry the agent's name."""

from __future__ import annotations

import threading

import pytest
from openai import OpenAI
from opentelemetry import context
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

from fleetwatch.dialects import translate_traces
from fleetwatch.instrument import names
from fleetwatch.instrument.agent_names import AgentNames
from fleetwatch.records.llm import LlmCall
from support_instrument import Application
from support_openai import openai_stub


def names_by_span(app: Application) -> dict[str, object]:
    return {span.name: (span.attributes or {}).get(names.AGENT) for span in app.spans}


def test_spans_inside_a_task_carry_its_agent_and_others_do_not() -> None:
    app = Application(AgentNames())
    tracer = app.tracers.get_tracer("other library")
    boss, helper = app.agent("boss", team="search"), app.agent("helper")
    with tracer.start_as_current_span("before"):
        pass
    with boss.task(), tracer.start_as_current_span("chain"):
        with tracer.start_as_current_span("chat"):
            pass
        with helper.task(), tracer.start_as_current_span("chat of helper"):
            pass
    found = names_by_span(app)
    assert found["before"] is None
    assert found["chain"] == found["chat"] == "boss"
    assert found["chat of helper"] == "helper"
    teams = {span.name: (span.attributes or {}).get("team") for span in app.spans}
    assert teams["chat"] == "search"


def test_the_nearest_agent_around_a_span_counts() -> None:
    app = Application(AgentNames())
    tracer = app.tracers.get_tracer("other library")
    with (
        app.agent("boss").task(),
        tracer.start_as_current_span("invoke_agent planner", attributes={names.AGENT: "planner"}),
        tracer.start_as_current_span("chat"),
    ):
        pass
    assert names_by_span(app)["chat"] == "planner"


def test_what_happens_inside_a_task_is_progress() -> None:
    app = Application(AgentNames())
    tracer = app.tracers.get_tracer("other library")
    with app.agent().task():
        before = app.value(names.PROGRESS)
        span = tracer.start_span("chat")
        started = app.value(names.PROGRESS)
        span.end()
        ended = app.value(names.PROGRESS)
    assert before is not None
    assert started is not None
    assert ended is not None
    assert before < started < ended


def test_the_name_goes_with_the_context_into_a_thread() -> None:
    app = Application(AgentNames())
    tracer = app.tracers.get_tracer("other library")
    with app.agent().task():
        here = context.get_current()

        def work() -> None:
            token = context.attach(here)
            tracer.start_span("chat").end()
            context.detach(token)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert names_by_span(app)["chat"] == "researcher"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_real_instrumentation_s_calls_are_counted_for_the_agent() -> None:
    app = Application(AgentNames())
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=app.tracers, meter_provider=app.meters)
    try:
        with openai_stub() as base, OpenAI(base_url=base, api_key="none", max_retries=0) as client, app.agent().task():
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "why?"}])
    finally:
        instrumentor.uninstrument()
    [call] = [record for record in translate_traces(app.traces()).records if isinstance(record, LlmCall)]
    assert call.agent == "researcher"
    assert call.tokens.output > 0
