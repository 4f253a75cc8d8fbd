"""What an agent says of itself between two exports."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleetwatch.instrument import names
from support_instrument import Application


def test_an_agent_is_idle_works_waits_for_its_tool_and_is_idle_again() -> None:
    app = Application()
    with app.agent() as me:
        assert app.state() == "idle"
        with me.task("answer"):
            assert app.state() == "working"
            with me.tool("search"):
                assert app.state() == "waiting_tool"
            assert app.state() == "working"
            assert app.value(names.OPEN_TASKS) == 1
        assert app.state() == "idle"
        assert app.value(names.OPEN_TASKS) == 0


def test_nobody_is_there_before_the_first_word() -> None:
    app = Application()
    me = app.agent()
    assert app.gauges() == {}
    me.progress()
    assert app.state() == "idle"


def test_a_state_holds_until_the_next_word_tool_or_end() -> None:
    app = Application()
    me = app.agent()
    with me.task():
        me.state("waiting_human")
        assert app.state() == "waiting_human"
        me.progress()
        assert app.state() == "waiting_human"
        me.state("blocked")
        assert app.state() == "blocked"
        with me.tool("search"):
            assert app.state() == "waiting_tool"
            me.state("waiting_human")
            assert app.state() == "waiting_human"
        assert app.state() == "working"
        me.state("blocked")
    assert app.state() == "idle"


def test_a_state_s_block_gives_back_what_was_before() -> None:
    app = Application()
    me = app.agent()
    with me.task():
        me.state("blocked")
        with me.state("waiting_human"):
            assert app.state() == "waiting_human"
        assert app.state() == "blocked"
        with me.state("waiting_human"):
            me.state("working")
        assert app.state() == "working"


def test_draining_and_failed_are_of_the_whole_process() -> None:
    app = Application()
    me = app.agent()
    with me.task():
        me.state("draining")
        with me.task():
            assert app.state() == "draining"
    assert app.state() == "draining"
    me.state("failed")
    with me.task():
        assert app.state() == "working"


@pytest.mark.parametrize("state", ["", "sleeping", "Working", None, 7])
def test_what_is_no_state_is_said_in_the_log_and_changes_nothing(state: str, caplog: pytest.LogCaptureFixture) -> None:
    app = Application()
    me = app.agent()
    with me.task(), me.state(state):
        assert app.state() == "working"
    assert "expected one of idle, working" in caplog.text


def test_the_busiest_task_stands_for_the_agent() -> None:
    app = Application()
    me = app.agent()
    asked, may_end = threading.Event(), threading.Event()

    def ask() -> None:
        with me.task(), me.state("waiting_human"):
            asked.set()
            may_end.wait(10)

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(10)
    assert app.state() == "waiting_human"
    with me.task():
        assert app.state() == "working"
        assert app.value(names.OPEN_TASKS) == 2
    assert app.state() == "waiting_human"
    may_end.set()
    thread.join()
    assert app.state() == "idle"


def test_who_waits_for_a_sub_agent_does_what_that_one_does() -> None:
    app = Application()
    boss, helper = app.agent("boss"), app.agent("helper")
    with boss.task():
        began = app.value(names.PROGRESS, "boss")
        with helper.task():
            helper.state("waiting_human")
            assert (app.state("boss"), app.state("helper")) == ("waiting_human", "waiting_human")
            boss.state("blocked")
            assert (app.state("boss"), app.state("helper")) == ("blocked", "waiting_human")
            boss.state("working")
            helper.progress()
            assert app.value(names.PROGRESS, "boss") == app.value(names.PROGRESS, "helper")
        assert app.state("boss") == "working"
    after = app.value(names.PROGRESS, "boss")
    assert after is not None
    assert began is not None
    assert after > began


def test_a_task_that_hangs_is_not_hidden_by_others_that_do_not() -> None:
    app = Application()
    me = app.agent()
    hangs, may_end = threading.Event(), threading.Event()

    def hang() -> None:
        with me.task():
            hangs.set()
            may_end.wait(10)

    thread = threading.Thread(target=hang)
    thread.start()
    assert hangs.wait(10)
    stands = app.value(names.PROGRESS)
    with me.task():
        me.progress()
        assert app.value(names.PROGRESS) == stands
    may_end.set()
    thread.join()
    moved = app.value(names.PROGRESS)
    assert moved is not None
    assert stands is not None
    assert moved > stands


def test_a_task_that_waits_for_a_human_holds_up_no_progress() -> None:
    app = Application()
    me = app.agent()
    asked, may_end = threading.Event(), threading.Event()

    def ask() -> None:
        with me.task(), me.state("waiting_human"):
            asked.set()
            may_end.wait(10)

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(10)
    with me.task():
        before = time.time()
        me.progress()
        progress = app.value(names.PROGRESS)
        assert progress is not None
        assert progress >= before
    may_end.set()
    thread.join()


def test_progress_outside_of_a_task_counts_for_all() -> None:
    app = Application()
    me = app.agent()
    with me.task():
        thread = threading.Thread(target=me.progress)  # a thread without the task's context
        before = time.time()
        thread.start()
        thread.join()
        progress = app.value(names.PROGRESS)
        assert progress is not None
        assert progress >= before


def test_the_queue_is_what_was_told_or_what_its_function_says() -> None:
    app = Application()
    me = app.agent()
    assert app.value(names.QUEUE_DEPTH) is None
    me.queue(3, oldest_age=20)
    assert app.value(names.QUEUE_DEPTH) == 3
    age = app.value(names.QUEUE_AGE)
    assert age is not None
    assert 20 <= age < 40
    waiting = ["a", "b"]
    me.queue(lambda: len(waiting))
    assert app.value(names.QUEUE_DEPTH) == 2
    assert app.value(names.QUEUE_AGE) is None
    waiting.clear()
    assert app.value(names.QUEUE_DEPTH) == 0


def test_a_queue_that_fails_takes_nothing_else_along() -> None:
    app = Application()
    app.agent().queue(lambda: 1 // 0)
    gauges = app.gauges()
    assert names.QUEUE_DEPTH not in gauges
    assert {names.STATE, names.PROGRESS, names.HEARTBEAT} <= gauges.keys()


def test_threads_leave_nothing_open() -> None:
    app = Application()
    me = app.agent()

    def work(number: int) -> None:
        with me.task(), me.tool("search", {"n": number}) as tool:
            me.state("waiting_human")
            tool.result(number)
            me.progress()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(400)))
    assert app.state() == "idle"
    assert app.value(names.OPEN_TASKS) == 0
    assert len(app.spans) == 800


def test_tasks_of_one_event_loop_do_not_mix() -> None:
    app = Application()
    one, two = app.agent("one"), app.agent("two")

    async def work(me: object, gate: asyncio.Event) -> None:
        assert me in {one, two}
        agent = one if me is one else two
        async with agent.task() as task, agent.tool("search"):
            await gate.wait()
            agent.state("waiting_human")
            assert task.work is not None
            assert task.work.said == "waiting_human"

    async def both() -> None:
        gate = asyncio.Event()
        waiting = [asyncio.create_task(work(me, gate)) for me in (one, two) * 20]
        await asyncio.sleep(0)
        assert (app.state("one"), app.value(names.OPEN_TASKS, "two")) == ("waiting_tool", 20)
        gate.set()
        await asyncio.gather(*waiting)

    asyncio.run(both())
    assert (app.state("one"), app.state("two")) == ("idle", "idle")
    parents = {span.context.span_id: span for span in app.spans if span.context}
    tools = [span for span in app.spans if span.name == "execute_tool search"]
    assert len(tools) == 40
    for tool in tools:
        assert tool.parent is not None
        assert tool.attributes is not None
        around = parents[tool.parent.span_id].attributes
        assert around is not None
        assert around[names.AGENT] == tool.attributes[names.AGENT]
