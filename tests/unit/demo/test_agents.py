"""The demo's fleet: every kind of trouble, the same with the same seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from fleetwatch.demo.agents import ESCALATION, ROLES, TEST_FIXER, Fleet
from fleetwatch.dialects import translate_metrics, translate_traces
from fleetwatch.instrument import names
from fleetwatch.instrument.agent_names import AgentNames
from fleetwatch.records.agents import AgentBeat, AgentRun, Evaluation, ToolCall
from fleetwatch.records.llm import LlmCall
from support import wait_for
from support_instrument import Application


def played(seed: int, until: Callable[[Application], object], run_id: str = "test") -> Application:
    """An application whose fleet ran until the condition held."""
    app = Application(AgentNames())
    fleet = Fleet(app.tracers, app.meters, seed=seed, run_id=run_id, speed=400)
    fleet.start()
    try:
        wait_for(lambda: until(app), 30, "the fleet's work")
    finally:
        fleet.end()
    return app


def ended_tasks(count: int) -> Callable[[Application], bool]:
    return lambda app: min(len(done(app, name)) for name in ("invoke_agent helpdesk", "invoke_agent coder")) >= count


def done(app: Application, name: str) -> list[ReadableSpan]:
    return [span for span in app.spans if span.name == name]


def told(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def story(app: Application, agent: str, length: int) -> list[tuple[object, ...]]:
    """What the agent did first."""
    keys = (names.ERROR_TYPE, names.ARGUMENTS_DIGEST, "gen_ai.usage.input_tokens", "gen_ai.response.id")
    spans = [span for span in app.spans if told(span).get(names.AGENT) == agent]
    return [(span.name, *(told(span).get(key) for key in keys)) for span in spans][:length]


def test_the_same_seed_tells_the_same_story_and_another_run_has_other_ids() -> None:
    one, two, other = played(1, ended_tasks(4)), played(1, ended_tasks(4)), played(2, ended_tasks(4))
    for agent in ("helpdesk", "kb-search", "reply-writer", "coder", "reviewer"):
        length = 4
        assert story(one, agent, length) == story(two, agent, length)
        assert len(story(one, agent, length)) == length
    assert story(one, "helpdesk", 10) != story(other, "helpdesk", 10)
    again = played(1, ended_tasks(1), run_id="again")
    ids = [{told(span).get("gen_ai.response.id") for span in app.spans} - {None} for app in (one, again)]
    assert not ids[0] & ids[1]


def test_it_has_every_kind_of_work_and_trouble() -> None:
    app = played(1, lambda app: ended_tasks(12)(app) and done(app, "invoke_agent test-fixer") and app.state("deployer"))
    records = translate_traces(app.traces()).records
    runs = [record for record in records if isinstance(record, AgentRun)]
    calls = [record for record in records if isinstance(record, LlmCall)]
    tools = [record for record in records if isinstance(record, ToolCall)]
    assert {run.outcome for run in runs} >= {"ok", "error", "cancelled"}
    assert {run.exit_reason for run in runs} >= {"completed", "max_turns", "cancelled"}
    assert {run.team for run in runs} == {"service", "engineering"}
    assert {call.agent for call in calls} == {role.name for role in ROLES}
    assert {call.team for call in calls} == {"service", "engineering"}
    assert {tool.outcome for tool in tools} >= {"ok", "error"}
    assert all(call.temperature is not None for call in calls)
    judged = [record for record in records if isinstance(record, Evaluation)]
    assert {record.agent for record in judged} == {"helpdesk", "reply-writer", "coder"}
    assert len({record.model for record in judged}) > 3
    loops: dict[bytes, int] = {}
    for tool in tools:
        if tool.agent == TEST_FIXER.name:
            loops[tool.span[:16] + tool.arguments] = loops.get(tool.span[:16] + tool.arguments, 0) + 1
    assert max(loops.values()) >= 14


def test_one_waits_for_a_person_and_one_hangs_and_all_say_goodbye() -> None:
    app = Application(AgentNames())
    # Slower: a person takes two minutes at least.
    fleet = Fleet(app.tracers, app.meters, seed=1, run_id="test", speed=60)
    fleet.start()
    try:
        wait_for(lambda: app.state(ESCALATION.name) == "waiting_human", 20, "the question")
        wait_for(lambda: len(done(app, "execute_tool roll_out")) >= 2 and app.state("deployer") == "waiting_tool", 30)
        assert app.value(names.QUEUE_DEPTH, "helpdesk") is not None
    finally:
        fleet.end()
    said = {
        beat.agent for beat in translate_metrics(app.beat()).records if isinstance(beat, AgentBeat) and beat.goodbye
    }
    assert said == {role.name for role in ROLES}
