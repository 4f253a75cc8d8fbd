"""What applications do by mistake: it never raises into them, and harms nothing else that they say."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fleetwatch.dialects import translate_traces
from fleetwatch.instrument import Phase, current_phase, current_run, names
from fleetwatch.instrument import outcome as outcomes
from fleetwatch.instrument.phase import PHASES
from fleetwatch.records.pipelines import PhaseReport
from support_instrument import Application


class Odd:
    """Of which nothing can be asked."""

    def _no(self, *_: object) -> Any:
        raise RuntimeError("ask me nothing")

    __str__ = __repr__ = __int__ = __float__ = __eq__ = __hash__ = __bool__ = __len__ = __fspath__ = _no


ODD: tuple[Any, ...] = (Odd(), None, "", "many", [], {}, b"seven", float("nan"), -float("inf"), -1)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
@pytest.mark.parametrize(
    "say",
    [
        lambda p, odd: p.items(odd),
        lambda p, odd: p.items(1, odd),
        lambda p, odd: p.expect(odd),
        lambda p, odd: p.error(odd),
        lambda p, odd: p.error("Late", odd),
        lambda p, odd: p.warning(odd),
        lambda p, odd: p.artifact(odd),
        lambda p, odd: p.artifact(size=odd),
        lambda p, odd: p.signal(odd, 1.0),
        lambda p, odd: p.signal("pressure", odd),
        lambda p, odd: p.count("events", odd),
        lambda p, odd: p.fail(odd),
        lambda p, odd: p.fail("bad", result=odd),
        lambda p, odd: p.run_.fail("bad", result=odd),
    ],
)
def test_what_is_no_number_or_word_raises_nothing_and_the_phase_is_told(
    say: Callable[[Phase, Any], None], odd: Any
) -> None:
    app = Application()
    with app.pipeline() as run, run.phase("P01") as p:
        say(p, odd)
        p.items(3)
    [report] = [record for record in translate_traces(app.traces()).records if isinstance(record, PhaseReport)]
    assert report.tally is not None
    assert 3 <= report.tally.items_out <= 4


def test_a_phase_of_an_odd_attempt_is_told() -> None:
    app = Application()
    attempt: Any = "second"
    with app.pipeline() as run, run.phase("P01", attempt=attempt):
        pass
    assert app.told("P01")[names.ATTEMPT] == 1


def test_names_that_are_no_utf_8_are_sent_and_take_no_other_span_along() -> None:
    """As the names of files may be: one span that cannot be written would take its whole request along."""
    app = Application()
    name = b"caf\xe9.csv".decode("utf-8", "surrogateescape")
    with app.pipeline(name, version=name, run_id=name) as run, run.phase(name) as p, p.part(name) as part:
        part.error(name)
        part.signal(name, 1.0)
    records = [record for record in translate_traces(app.traces()).records if isinstance(record, PhaseReport)]
    assert {(report.pipeline, report.phase) for report in records} == {("caf?.csv", "caf?.csv")}


def test_what_is_entered_while_it_is_open_is_one_execution() -> None:
    app = Application()
    with app.pipeline() as run:
        with run, run.phase("P01") as p, p:
            p.items(1)
            assert current_phase() is p
        assert current_run() is run
        assert run.outcome is None
        thread = threading.Thread(target=_use, args=(p,))
        with p:
            thread.start()
            thread.join()
            p.items(1)
    assert current_run() is None
    assert [(span.name, (span.attributes or {}).get(names.ITEMS_OUT)) for span in app.spans] == [
        ("P01", 1), ("P01", 2), ("RUN nightly", None),
    ]  # fmt: skip


def _use(phase: Phase) -> None:
    with phase:
        phase.items(1)


def test_one_phase_that_tasks_share_ends_with_the_last_of_them() -> None:
    app = Application()

    async def work(phase: Phase, pause: asyncio.Event) -> None:
        async with phase:
            phase.items(1)
            await pause.wait()

    async def all_of_them() -> None:
        pause = asyncio.Event()
        async with app.pipeline() as run, asyncio.TaskGroup() as group:
            p = run.phase("P01")
            tasks = [group.create_task(work(p, pause)) for _ in range(3)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.sleep(0)
            assert p.outcome is None
            pause.set()

    asyncio.run(all_of_them())
    assert app.told("P01")[names.ITEMS_OUT] == 3


def test_a_phase_that_its_run_left_open_is_shown_no_more_and_takes_nothing() -> None:
    app = Application()
    with app.pipeline() as run:
        p = run.phase("P01")
        p.begin()
        assert len(app.points()[names.PHASE_START]) == 1
    assert app.points() == {}
    assert list(PHASES._taking) == []
    with app.pipeline() as run, run.phase("P02") as other:
        assert other.usage_so_far() is not None  # as of one that is alone
        p.end(None)
        assert other.usage_so_far() is not None
    assert app.told("P01")[names.PHASE_RESULT] == "success"


@pytest.mark.parametrize(
    ("inside", "result", "kind"),
    [
        ([ValueError()], "failure", "ValueError"),
        ([TimeoutError(), TimeoutError()], "timeout", "TimeoutError"),
        ([asyncio.CancelledError(), KeyboardInterrupt()], "cancellation", "cancelled"),
        ([ValueError(), KeyError()], "failure", "ExceptionGroup"),
        ([ValueError(), TimeoutError()], "failure", "ExceptionGroup"),
        ([ExceptionGroup("", [TimeoutError()]), TimeoutError()], "timeout", "TimeoutError"),
        ([subprocess.CalledProcessError(-9, "x")], "error", "SIGKILL"),
    ],
)
def test_a_group_of_exceptions_says_what_all_in_it_say(inside: list[BaseException], result: str, kind: str) -> None:
    ended = outcomes.of(BaseExceptionGroup("some", inside))
    assert (ended.result, ended.error_type) == (result, kind)


def test_very_many_attempts_and_a_wait_below_nothing() -> None:
    app = Application()
    with app.pipeline() as run:
        for attempt in run.attempts("P01", most=1100, wait=-1.0):
            with attempt as p:
                if p.attempt < 1100:
                    raise ValueError
    assert app.told("RUN nightly")[names.RUN_RESULT] == "success"


@pytest.mark.parametrize(
    "options",
    [
        {"input": "x", "stdin": subprocess.PIPE},
        {"capture_output": True, "stdout": subprocess.PIPE},
        {"capture_output": True, "stderr": subprocess.DEVNULL},
        {"unheard_of": 1},
    ],
)
def test_a_child_process_is_refused_as_subprocess_refuses_it(options: dict[str, Any]) -> None:
    app = Application()
    raised = []
    for run in (lambda *args, **given: subprocess.run(*args, **given, check=True), app.pipeline().phase("P01").run):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever subprocess raises
            run(["true"], **options)
        raised.append((type(caught.value), str(caught.value)))
    assert raised[0] == raised[1]
