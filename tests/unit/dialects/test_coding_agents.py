"""Claude Code, Codex, Gemini CLI and Qwen Code, from what they really sent to figures."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.catalogue import agents
from fleetwatch.dialects import Record
from fleetwatch.records.agents import AgentRun, Step, ToolCall
from fleetwatch.records.llm import LlmCall, Tokens, UsagePoint
from support_coding_agents import FOLDER, NOW, Figures, Recording, translate

RECORDINGS = {
    # dialect: its scenarios
    "claude_code": ("plain", "tool", "sub_agent", "overloaded", "no_session_id"),
    "codex": ("plain", "tool", "overloaded"),
    "gemini_cli": ("plain", "tool", "retry"),
    "qwen_code": ("plain", "sub_agent", "refused"),
}
SILENT = {"codex": "traces", "gemini_cli": "traces"}
"""Signals by which alone the calls of a program cannot be known."""
ALL = [(dialect, scenario) for dialect, scenarios in RECORDINGS.items() for scenario in scenarios]


def signals(dialect: str, scenario: str) -> list[str]:
    return sorted(file.stem for file in (FOLDER / dialect / scenario).glob("*.jsonl"))


def sets() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every set of signals that a user may switch on, in every order of arrival."""
    for dialect, scenario in ALL:
        sent = signals(dialect, scenario)
        for number in range(1, len(sent) + 1):
            for order in itertools.permutations(sent, number):
                if order != (SILENT.get(dialect),):
                    yield dialect, scenario, order


def test_every_recording_is_used() -> None:
    found = {
        (file.parent.parent.name, file.parent.name)
        for file in FOLDER.glob("*/*/truth.json")
        if file.parent.parent.name in RECORDINGS
    }
    assert found == set(ALL)


@pytest.mark.parametrize(("dialect", "scenario", "order"), list(sets()))
def test_tokens_are_what_the_provider_answered_whatever_signals_come_in_whatever_order(
    dialect: str, scenario: str, order: tuple[str, ...], tmp_path: Path
) -> None:
    sent = Recording(dialect, scenario)
    with Figures(tmp_path, *[sent.records(signal) for signal in order]) as figures:
        assert figures.tokens() == sent.truth()
        if dialect != "claude_code" or order != ("metrics",):  # it has no counter of calls
            assert figures.requests(outcome="ok") == sent.calls()


@pytest.mark.parametrize(("dialect", "scenario"), ALL)
def test_what_is_sent_again_changes_nothing(dialect: str, scenario: str, tmp_path: Path) -> None:
    sent = Recording(dialect, scenario)
    groups = [sent.records(signal) for signal in signals(dialect, scenario)]
    with Figures(tmp_path, *groups) as once, Figures(tmp_path / "twice", *groups, *groups) as twice:
        twice.commit(itertools.chain(*groups))
        twice.wait()
        for metric in (agents.TASKS, agents.TOOL_CALLS, agents.TASK_SPENT, agents.TASK_COST, agents.EDGE_REQUESTS):
            assert twice.counted(metric) == once.counted(metric)
        assert (twice.tokens(), twice.requests(), twice.cost()) == (once.tokens(), once.requests(), once.cost())


@pytest.mark.parametrize(("dialect", "scenario", "signal"), [(*one, signal) for one in ALL for signal in signals(*one)])
def test_records_are_as_agreed(dialect: str, scenario: str, signal: str, golden: Callable[[str, str], None]) -> None:
    lines = [shown(record) for record in Recording(dialect, scenario).records(signal)]
    golden(f"dialects/{dialect}/{scenario}-{signal}.txt", "\n".join([*lines, ""]))


def shown(record: Record) -> str:
    """A record in one line; ids by their first bytes."""
    if isinstance(record, UsagePoint):
        kind = "cumulative" if record.cumulative else "delta"
        return f"UsagePoint {record.stream.hex()[:8]} {kind} start={record.start} {shown(record.call)}"
    parts = []
    for name, value in zip(record._fields, record, strict=True):
        if isinstance(value, Tokens):
            parts += [f"{kind}={count}" for kind, count in zip(Tokens._fields, value, strict=True) if count]
        elif isinstance(value, bytes):
            text = f"{value.hex()[:8]}…{value.hex()[32:40]}" if len(value) == 24 else value.hex()[:8]
            parts += [f"{name}={text}"] * bool(value)
        elif value not in ("", None, False) and not isinstance(value, list):
            parts.append(f"{name}={value.replace(chr(31), '|') if isinstance(value, str) else value}")
    return f"{type(record).__name__} {' '.join(parts)}"


SECRET = "correct horse battery staple"


def spoiled(line: str) -> str:
    """The request with a marker in every text that nobody needs."""

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            if "key" in value:
                return {"key": value["key"], "value": walk(value.get("value", {}), value["key"])}
            return {name: walk(inner, key or (name if name == "body" else "")) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, key) for inner in value]
        return f"{SECRET} {value}" if key in PRIVATE and isinstance(value, str) else value

    return json.dumps(walk(json.loads(line)))


PRIVATE = {
    "user.id", "user.email", "installation.id", "prompt", "prompt_text", "response", "user_prompt", "result", "output",
    "arguments", "function_args", "tool_input", "tool_parameters", "error", "error.message", "error_message", "body",
    "process.command_args", "process.owner", "gen_ai.system_instructions", "gen_ai.tool.definitions",
    "exception.message", "execution_summary", "session.id", "prompt.id", "prompt_id", "gen_ai.conversation.id",
    "agent_id", "request_text",
}  # fmt: skip


@pytest.mark.parametrize(("dialect", "scenario"), ALL)
def test_no_text_or_identity_of_a_person_or_session_is_in_a_label(dialect: str, scenario: str, tmp_path: Path) -> None:
    """Sessions stay in the `service` of a call, which is for look-ups and no label."""
    records = Recording(dialect, scenario).records(*signals(dialect, scenario), change=spoiled)
    for record in records:
        call = record.call if isinstance(record, UsagePoint) else record
        texts = [
            value
            for name, value in zip(call._fields, call, strict=True)
            if isinstance(value, str) and name != "service"
        ]
        assert not any(word in text for text in texts for word in SECRET.split())


@pytest.mark.parametrize("dialect", RECORDINGS)
def test_unknown_events_spans_and_metrics_are_accepted_and_leave_nothing(dialect: str) -> None:
    def renamed(line: str) -> str:
        for word in (
            "api_request",
            "api_response",
            "sse_event",
            "tool_result",
            "tool_call",
            "token.usage",
            "token_usage",
        ):
            line = line.replace(f'{word}"', f'{word}.new"')
        return line.replace('"gen_ai.client.operation.duration"', '"new"').replace('llm_request"', 'llm_request.new"')

    found = Recording(dialect, "plain").records(*signals(dialect, "plain"), change=renamed)
    # Runs and steps stay; a counter of attempts is no usage of tokens.
    assert not [record for record in found if isinstance(record, LlmCall | ToolCall)]
    assert not [record for record in found if isinstance(record, UsagePoint) and any(record.call.tokens)]


VERSIONS = {
    "claude_code": ("2.1.329", ("2.1.4", "2.1"), ("2.2.0", "3.0.1", "", "new")),
    "codex": ("0.169.0", ("0.169.3",), ("0.170.0", "1.0.0", "", "x")),
    "qwen_code": ("0.24.4", ("0.24.0",), ("0.25.0", "1.24", "", "y")),
}


@pytest.mark.parametrize("dialect", VERSIONS)
def test_items_of_a_version_that_was_not_tried_are_read_and_counted(dialect: str) -> None:
    recorded, tried, others = VERSIONS[dialect]
    sent = Recording(dialect, "plain")
    for version in (recorded, *tried, *others):
        for signal in signals(dialect, "plain"):
            for request in sent.requests(signal, lambda line, version=version: line.replace(recorded, version)):  # type: ignore[misc]
                found = translate(signal, request)
                if not any(isinstance(record, LlmCall | UsagePoint) for record in found.records):
                    continue
                # Claude Code's spans have a version of their own.
                expected = version in others and (dialect, signal) != ("claude_code", "traces")
                assert bool(found.unknown_versions.get(dialect)) == expected


def test_the_version_of_gemini_cli_is_not_told() -> None:
    """What it calls so is that of Node."""
    sent = Recording("gemini_cli", "plain")
    changed = [
        sent.requests(signal, lambda line: line.replace("v22.", "v99."))[0] for signal in ("logs", "metrics", "traces")
    ]
    found = [translate(signal, one) for signal, one in zip(("logs", "metrics", "traces"), changed, strict=True)]
    assert not any(one.unknown_versions for one in found)


@pytest.mark.parametrize("dialect", RECORDINGS)
def test_a_time_that_cannot_be_is_refused(dialect: str) -> None:
    for signal in signals(dialect, "plain"):
        for request in Recording(dialect, "plain").requests(signal):
            found = translate(signal, request, now=10**18)
            calls = [record for record in found.records if isinstance(record, LlmCall | UsagePoint | AgentRun | Step)]
            assert not calls
            assert set(found.rejected) <= {"bad_time"}


BAD = st.sampled_from(["-1", "1.5", "x", str(10**12), "1e3", "9" * 30])


@given(BAD)
@settings(max_examples=10)
def test_a_count_that_is_none_is_refused_and_the_others_are_read(bad: str) -> None:
    def change(line: str) -> str:
        return line.replace(
            '"key":"output_token_count","value":{"stringValue":"65"',
            f'"key":"output_token_count","value":{{"stringValue":"{bad}"',
        )

    (request,) = Recording("codex", "plain").requests("logs", change)
    found = translate("logs", request)
    assert found.rejected == {"bad_tokens": 1}
    assert found.records == []


ANY: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"stringValue": st.text(max_size=20)}),
    st.fixed_dictionaries({"intValue": st.integers(-(2**63), 2**63 - 1).map(str)}),
    st.fixed_dictionaries({"doubleValue": st.floats(allow_nan=False, allow_infinity=False)}),
    st.fixed_dictionaries({"boolValue": st.booleans()}),
    st.just({}),
)


def attributes(value: Any) -> Iterator[dict[str, Any]]:
    """The attributes anywhere in a request, but for the names of events."""
    if isinstance(value, dict):
        if "key" in value and value["key"] != "event.name":
            yield value
        for inner in value.values():
            yield from attributes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from attributes(inner)


PLACES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), ANY), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("dialect", "signal"),
    [(dialect, signal) for dialect, (_, rich, *_) in RECORDINGS.items() for signal in signals(dialect, rich)],
)
@settings(max_examples=25)  # reading JSON takes most of the time
@given(places=PLACES)
def test_attributes_of_any_kind_never_raise(
    dialect: str, signal: str, places: list[tuple[float, dict[str, Any]]]
) -> None:
    def soup(line: str) -> str:
        request = json.loads(line)
        found = list(attributes(request))
        for place, value in places:
            found[int(place * len(found))]["value"] = value
        return json.dumps(request)

    for request in Recording(dialect, RECORDINGS[dialect][1]).requests(signal, soup)[:1]:
        for record in translate(signal, request).records:
            if isinstance(record, LlmCall):
                assert min(record.tokens) >= 0
                assert len(record.key) in {16, 24}


def only(kind: type[Any], records: Iterable[Record]) -> list[Any]:
    return [record for record in records if type(record) is kind]


def test_the_agent_is_the_program_unless_the_user_named_it() -> None:
    def named(line: str) -> str:
        return line.replace('"stringValue":"codex_exec"', '"stringValue":"nightly-review"')

    assert {call.agent for call in only(LlmCall, Recording("codex", "plain").records("logs"))} == {"codex"}
    assert {call.agent for call in only(LlmCall, Recording("codex", "plain").records("logs", change=named))} == {
        "nightly-review"
    }


def test_the_team_is_that_of_the_resource_or_of_the_point() -> None:
    def owned(line: str) -> str:
        return line.replace('"attributes":[', '"attributes":[{"key":"team.id","value":{"stringValue":"platform"}},', 1)

    def point(line: str) -> str:
        return line.replace(
            '{"key":"session.id"', '{"key":"team","value":{"stringValue":"platform"}},{"key":"session.id"'
        )

    for signal, change in itertools.product(("logs", "metrics"), (owned, point)):
        for record in Recording("claude_code", "plain").records(signal, change=change):
            assert (record.call if isinstance(record, UsagePoint) else record).team == "platform"  # type: ignore[union-attr]


def test_now_is_after_the_recordings() -> None:
    for dialect, scenario in ALL:
        for record in Recording(dialect, scenario).records(*signals(dialect, scenario)):
            at = record.call.at if isinstance(record, UsagePoint) else record.at
            assert 0 < at < NOW
