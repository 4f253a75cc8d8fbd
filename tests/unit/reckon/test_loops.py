"""Loops of tool calls, and what only looks like one."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.loops import ENDED, MOST_CALLS, QUIET, SECOND, Seen, Watch
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall, Tokens

T0 = 1_790_000_000 * SECOND
LIMIT = 10


def tool(
    start: float,
    *,
    last: float = 0.1,
    digest: bytes = b"same",
    result: bytes = b"",
    outcome: str = "error",
    agent: str = "coder",
    trace: bytes = b"t" * 16,
    parent: bytes = b"p" * 8,
) -> ToolCall:
    """A tool call; times in seconds."""
    begin = T0 + round(start * SECOND)
    end = begin + round(last * SECOND)
    span = trace + begin.to_bytes(8, "big")
    error = "" if outcome == "ok" else "ValueError"
    return ToolCall(span, parent, begin, end, agent, "core", "read_file", outcome, error, digest, result)


def llm(start: float, last: float, trace: bytes = b"t" * 16) -> LlmCall:
    end = T0 + round((start + last) * SECOND)
    return LlmCall(
        b"k" * 16, trace + b"l" * 8, end, "coder", "core", "openai", "gpt-4o", "chat", "ok", "", Tokens(1, output=1),
        round(last * SECOND), None, parent=b"p" * 8,
    )  # fmt: skip


def run(agent: str = "coder", trace: bytes = b"t" * 16) -> AgentRun:
    return AgentRun(trace + b"p" * 8, b"", T0, T0 + 100 * SECOND, agent, "core", "ok", "completed")


def streak(tools: list[ToolCall], calls: list[LlmCall] | None = None) -> int:
    watch = Watch(LIMIT)
    watch.hear(calls or [], tools, [], T0)
    return watch.seen(T0)["coder"].streak


def test_forty_identical_failing_calls_are_a_loop_and_told_once() -> None:
    watch = Watch(LIMIT)
    told = [watch.hear([], [tool(place)], [], T0) for place in range(40)]
    assert [place for place, loops in enumerate(told) if loops] == [LIMIT - 1]
    assert told[LIMIT - 1] == [("coder", "read_file")]
    assert watch.seen(T0) == {"coder": Seen(40, 0)}


def test_forty_parallel_calls_are_one_turn() -> None:
    different = [tool(place / 1000, last=5, digest=b"%d" % place) for place in range(40)]
    assert streak(different) == 1
    assert streak([tool(place / 1000, last=5) for place in range(40)]) == 1


def test_turns_of_the_same_parallel_calls_are_a_loop() -> None:
    tools = [tool(turn + shift / 100, last=0.5, digest=b"%d" % shift) for turn in range(12) for shift in range(3)]
    assert streak(tools) == 12


def test_a_poll_every_ten_seconds_is_none() -> None:
    assert streak([tool(place * 10, outcome="ok", result=b"pending") for place in range(40)]) == 1
    assert streak([tool(place * 10) for place in range(40)]) == 1


def test_a_model_that_thinks_for_ten_seconds_between_two_calls_does_not_wait() -> None:
    tools = [tool(place * 10) for place in range(40)]
    calls = [llm(place * 10 + 0.2, 9.5) for place in range(40)]
    assert streak(tools, calls) == 40
    assert streak(tools, [llm(place * 10 + 0.2, 3) for place in range(40)]) == 1


def test_another_result_is_progress() -> None:
    assert streak([tool(place, outcome="ok", result=b"%d" % place) for place in range(40)]) == 1
    assert streak([tool(place, outcome="ok", result=b"same") for place in range(40)]) == 40
    assert streak([tool(place, outcome="ok") for place in range(40)]) == 40  # results that nobody tells


def test_another_call_ends_the_streak_and_a_second_loop_is_told_again() -> None:
    watch = Watch(LIMIT)
    times = iter(range(1000))
    told = []
    for digest, count in ((b"a", 15), (b"b", 1), (b"a", 15)):
        for _ in range(count):
            told += watch.hear([], [tool(next(times), digest=digest)], [], T0)
    assert told == [("coder", "read_file")] * 2


def test_calls_without_arguments_say_nothing() -> None:
    assert streak([tool(place, digest=b"") for place in range(40)]) == 0


def test_tasks_are_apart_and_the_longest_counts() -> None:
    tools = [tool(place, trace=bytes([place]) * 16) for place in range(30)]
    tools += [tool(place, trace=b"x" * 16) for place in range(4)]
    assert streak(tools) == 4


def test_tool_calls_that_are_traces_of_their_own_are_one_row() -> None:
    assert streak([tool(place, trace=bytes([place]) * 16, parent=b"") for place in range(30)]) == 30


def test_a_long_streak_is_shown_as_the_most_that_is_remembered() -> None:
    assert streak([tool(place) for place in range(MOST_CALLS + 50)]) == MOST_CALLS


def test_llm_calls_of_the_running_task_that_has_most() -> None:
    watch = Watch(LIMIT)
    watch.hear([llm(place, 0.5) for place in range(7)], [], [], T0)
    watch.hear([llm(place, 0.5, b"u" * 16) for place in range(3)], [], [], T0)
    assert watch.seen(T0)["coder"].llm_calls == 7
    watch.hear([], [], [run()], T0)
    assert watch.seen(T0)["coder"].llm_calls == 3
    watch.hear([llm(0, 1)._replace(parent=b"")], [], [], T0)  # a call of nobody's task
    assert watch.seen(T0)["coder"].llm_calls == 3


def test_a_sub_agent_that_is_called_again_begins_anew_and_may_repeat_itself() -> None:
    watch = Watch(LIMIT)
    watch.hear([llm(place, 0.5) for place in range(7)], [tool(place) for place in range(3)], [], T0)
    watch.hear([], [], [run()], T0)
    watch.hear([llm(99, 0.5)], [], [], T0)  # late, of the run that is over
    assert watch.seen(T0)["coder"] == Seen(3, 0)
    watch.hear([llm(100, 0.5), llm(101, 0.5)], [tool(102)], [], T0)
    assert watch.seen(T0)["coder"] == Seen(1, 2), "a minute of nothing lies between the tool calls"
    watch.hear([llm(3 + place, 1) for place in range(96)], [], [], T0)
    assert watch.seen(T0)["coder"].streak == 4


def test_tasks_that_are_over_are_forgotten() -> None:
    watch = Watch(LIMIT)
    watch.hear([], [tool(0), tool(0, agent="other", trace=b"u" * 16)], [run()], T0)
    assert watch.seen(T0 + ENDED - 1).keys() == {"coder", "other"}
    assert watch.seen(T0 + ENDED).keys() == {"other"}
    assert watch.seen(T0 + QUIET) == {}


def test_memory_is_bounded() -> None:
    watch = Watch(LIMIT, most=3)
    for place in range(9):
        watch.hear([], [tool(0, agent=f"a{place}", trace=bytes([place]) * 16)], [], T0)
    assert watch.seen(T0).keys() == {"a6", "a7", "a8"}


@given(st.randoms(use_true_random=False), st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
def test_the_order_of_arrival_does_not_matter(shuffle: random.Random, made: list[tuple[int, bool]]) -> None:
    tools = [tool(place, digest=b"%d" % kind, outcome="ok" if ok else "error") for place, (kind, ok) in enumerate(made)]
    expected = streak(tools) if tools else 0
    shuffle.shuffle(tools)
    watch = Watch(LIMIT)
    for one in tools:
        watch.hear([], [one], [], T0)
    assert watch.seen(T0).get("coder", Seen(0, 0)).streak == expected
