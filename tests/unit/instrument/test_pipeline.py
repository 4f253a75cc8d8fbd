"""Runs and phases as they are sent: what an application writes, and the spans and events that come of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from concurrent.futures.process import BrokenProcessPool

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from fleetwatch.instrument import Phase, names, phase
from support_instrument import Application


def context_of(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def result(app: Application, name: str = "RUN nightly") -> tuple[str, str, str | None]:
    told = app.told(name)
    return told.get(names.RUN_RESULT) or told[names.PHASE_RESULT], told[names.REASON], told.get(names.ERROR_TYPE)


def test_a_run_is_a_span_of_the_conventions_with_its_phases_inside() -> None:
    app = Application()
    with app.pipeline(version="1.4", run_id="17") as run, run.phase("P03") as p, p.part("load"):
        pass
    root, inner, part = app.span("RUN nightly"), app.span("P03"), app.span("load")
    assert (root.kind, inner.kind, part.kind) == (SpanKind.SERVER, SpanKind.INTERNAL, SpanKind.INTERNAL)
    assert inner.parent is not None
    assert part.parent is not None
    assert (root.parent, inner.parent.span_id, part.parent.span_id) == (
        None,
        context_of(root).span_id,
        context_of(inner).span_id,
    )
    told = app.told("RUN nightly")
    assert {key: value for key, value in told.items() if key.startswith(("cicd", "fleetwatch.pipeline"))} == {
        "cicd.pipeline.action.name": "RUN",
        "cicd.pipeline.name": "nightly",
        "cicd.pipeline.run.id": "17",
        "cicd.pipeline.result": "success",
        "fleetwatch.pipeline.reason": "completed",
        "fleetwatch.pipeline.version": "1.4",
        "fleetwatch.pipeline.cores": told[names.CORES],
    }
    load = app.told("load")
    assert len(load.pop(names.PHASE_RUN_ID)) == 16
    assert {key: value for key, value in load.items() if key.startswith(("cicd", "fleetwatch.phase"))} == {
        "cicd.pipeline.name": "nightly",
        "cicd.pipeline.run.id": "17",
        "cicd.pipeline.task.name": "load",
        "cicd.pipeline.task.run.result": "success",
        "fleetwatch.phase.of": "P03",
        "fleetwatch.phase.attempt": 1,
    }


def test_what_a_phase_counts_is_on_its_span_and_that_of_its_parts_too() -> None:
    app = Application()
    with app.pipeline() as run, run.phase("P03", expect=1000) as p:
        p.items(100)
        p.items(120, "in")
        p.error("Late")
        p.error(KeyError("a text that stays here"), 2)
        p.warning()
        p.artifact(size=123)
        p.signal("irrigation.pressure", 2.5)
        with p.part("load") as part:
            part.items(5)
            part.count("irrigation.events", 3)
            part.count("irrigation.events", 0.5)
    told = app.told("P03")
    assert {key: value for key, value in told.items() if key.startswith("fleetwatch.phase")} == {
        "fleetwatch.phase.attempt": 1,
        "fleetwatch.phase.items.in": 120,
        "fleetwatch.phase.items.out": 105,
        "fleetwatch.phase.items.expected": 1000,
        "fleetwatch.phase.warnings": 1,
        "fleetwatch.phase.artifacts": 1,
        "fleetwatch.phase.artifacts.size": 123,
        "fleetwatch.phase.errors": ("Late=1", "KeyError=2"),
        "fleetwatch.phase.signals": ("irrigation.pressure=2.5", "irrigation.events=3.5"),
    }
    assert app.told("load")[names.ITEMS_OUT] == 5


def test_beginnings_are_told_at_once_with_their_span() -> None:
    app = Application()
    with app.pipeline(version="2") as run:
        assert [name for name, _ in app.events] == [names.RUN_STARTED]
        with run.phase("P03"):
            (_, began), (name, told) = app.events
            [record] = [log for group in app.logs().resource_logs for log in group.scope_logs[0].log_records][1:]
    assert name == names.PHASE_STARTED
    assert began[names.PIPELINE_VERSION] == "2"
    assert told.keys() == {
        names.PIPELINE, names.RUN_ID, names.PHASE, names.PHASE_RUN_ID, names.ATTEMPT, names.HOST, names.PROCESS,
    }  # fmt: skip
    span = app.span("P03")
    assert record.span_id == context_of(span).span_id.to_bytes(8, "big")
    assert record.time_unix_nano == span.start_time


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("a secret"), ("failure", "exception", "ValueError")),
        (json.JSONDecodeError("a secret", "", 0), ("failure", "exception", "json.decoder.JSONDecodeError")),
        (TimeoutError(), ("timeout", "exception", "TimeoutError")),
        (subprocess.TimeoutExpired("a secret", 3), ("timeout", "exception", "subprocess.TimeoutExpired")),
        (subprocess.CalledProcessError(3, "a secret"), ("failure", "exit", "exit 3")),
        (subprocess.CalledProcessError(-9, "a secret"), ("error", "killed", "SIGKILL")),
        (BrokenProcessPool(), ("error", "killed", "concurrent.futures.process.BrokenProcessPool")),
        (KeyboardInterrupt(), ("cancellation", "exception", "cancelled")),
        (asyncio.CancelledError(), ("cancellation", "exception", "cancelled")),
        (SystemExit(2), ("failure", "exit", "SystemExit")),
        (SystemExit("a secret"), ("failure", "exit", "SystemExit")),
        (SystemExit(143), ("cancellation", "exit", "SIGTERM")),
        (SystemExit(0), ("success", "completed", None)),
        (SystemExit(), ("success", "completed", None)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_leaves_the_block_says_how_it_ended_and_passes(
    error: BaseException, expected: tuple[str, str, str | None]
) -> None:
    app = Application()
    with pytest.raises(type(error)) as passed, app.pipeline() as run, run.phase("P03"):
        raise error
    assert passed.value is error
    assert result(app, "P03") == result(app) == expected
    bad = expected[0] != "success"
    assert {span.status.status_code for span in app.spans} == {StatusCode.ERROR if bad else StatusCode.UNSET}
    assert app.told("P03").get(names.ERRORS) == (
        (f"{expected[2]}=1",) if bad and expected[0] != "cancellation" else None
    )
    assert "a secret" not in str([span.to_json() for span in app.spans])


def test_a_phase_that_did_not_end_well_is_the_run_s_reason() -> None:
    app = Application()
    with app.pipeline() as run:
        with run.phase("P01") as p:
            p.fail("no_data", result="error")
        with run.phase("P02"):
            pass
    assert result(app, "P01") == ("error", "reported", "no_data")
    assert result(app) == ("error", "phase", "no_data")


def test_an_optional_phase_and_one_that_is_skipped_do_no_harm() -> None:
    app = Application()
    with app.pipeline() as run:
        with pytest.raises(ValueError, match="x"), run.phase("P01", optional=True):
            raise ValueError("x")
        with run.phase("P02") as p:
            p.skip()
    assert result(app, "P02") == ("skip", "completed", None)
    assert result(app) == ("success", "completed", None)


def test_a_run_says_itself_that_it_failed_or_had_nothing_to_do() -> None:
    app = Application()
    with app.pipeline("a") as run:
        run.fail("stale", result="timeout")
    with app.pipeline("b") as run:
        run.skip()
    assert result(app, "RUN a") == ("timeout", "reported", "stale")
    assert result(app, "RUN b") == ("skip", "completed", None)


def test_attempts_go_on_until_one_ends_well() -> None:
    app = Application()
    seen = []
    with app.pipeline() as run:
        for attempt in run.attempts("P04", most=5):
            with attempt as p:
                seen.append(p.attempt)
                if p.attempt == 1:
                    raise ValueError
                if p.attempt == 2:
                    p.fail("not_yet")
    assert seen == [1, 2, 3]
    told = [(span.attributes or {}) for span in app.spans if span.name == "P04"]
    assert [(each[names.ATTEMPT], each[names.PHASE_RESULT]) for each in told] == [
        (1, "failure"),
        (2, "failure"),
        (3, "success"),
    ]
    assert len({each[names.PHASE_RUN_ID] for each in told}) == 3
    assert result(app) == ("success", "completed", None)


@pytest.mark.parametrize(("raised", "tries"), [(ValueError, 3), (KeyError, 1), (KeyboardInterrupt, 1)])
def test_the_last_error_passes_and_others_than_named_at_once(raised: type[BaseException], tries: int) -> None:
    app = Application()
    count = 0

    def job() -> None:
        nonlocal count
        with app.pipeline() as run:
            for attempt in run.attempts("P04", most=3, on=ValueError):
                with attempt:
                    count += 1
                    raise raised

    with pytest.raises(raised):
        job()
    assert count == tries


def test_attempts_wait_longer_each_time_and_asynchronously(monkeypatch: pytest.MonkeyPatch) -> None:
    app, waited = Application(), []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def job() -> None:
        async with app.pipeline() as run:
            async for attempt in run.attempts("P04", most=4, wait=0.5):
                async with attempt:
                    raise ValueError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(ValueError):  # noqa: PT011 - it has no message
        asyncio.run(job())
    assert waited == [0.5, 1.0, 2.0]
    assert result(app) == ("failure", "exception", "ValueError")


def test_attempts_by_hand() -> None:
    app = Application()
    with app.pipeline() as run:
        for number in (1, 2):
            try:
                with run.phase("P04", attempt=number):
                    if number == 1:
                        raise ValueError
            except ValueError:
                continue
    assert result(app) == ("success", "completed", None)


def test_of_executions_side_by_side_one_that_failed_stays_failed() -> None:
    app = Application()
    with app.pipeline() as run:
        for shard in range(3):
            with run.phase("load") as p:
                if shard == 1:
                    p.fail("empty")
    assert result(app) == ("failure", "phase", "empty")


def test_a_clock_that_is_set_meanwhile_does_not_bend_times(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Application()
    with app.pipeline() as run:
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now - 3600 * 10**9)
        with run.phase("P01"):
            pass
    root, inner = app.span("RUN nightly"), app.span("P01")
    assert root.start_time is not None
    assert inner.start_time is not None
    assert root.start_time <= inner.start_time <= (inner.end_time or 0) <= (root.end_time or 0)
    assert (root.end_time or 0) - root.start_time < 60e9


def test_run_ids_are_the_caller_s_or_sort_by_time() -> None:
    app = Application()
    given = app.pipeline(run_id="x" * 1000)
    with given:
        pass
    assert given.id == "x" * 200
    run = app.pipeline()
    with run:
        first = run.id
    with run:
        assert run.id != first
    assert len(first) == len("20260131T030000-4f0c91d2")


def test_a_phase_that_is_entered_again_is_another_execution() -> None:
    app = Application()
    with app.pipeline() as run:
        same = run.phase("P01", expect=7)
        for _ in range(2):
            with same:
                same.items(3)
    told = [span.attributes or {} for span in app.spans if span.name == "P01"]
    assert [(each[names.ITEMS_OUT], each[names.ITEMS_EXPECTED]) for each in told] == [(3, 7), (3, 7)]
    assert told[0][names.PHASE_RUN_ID] != told[1][names.PHASE_RUN_ID]


def test_outside_of_a_run_nothing_is_sent_and_all_goes_on() -> None:
    app = Application()
    with phase("P01") as p:
        p.items(1)
        with p.part("x"):
            pass
        assert p.environ() == {}
    with app.pipeline().phase("P02"):
        pass
    assert app.spans == []


def test_a_broken_sdk_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Application()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    for place, what in ((app.tracers, "get_tracer"), (app.loggers, "get_logger"), (Phase, "_counted")):
        with monkeypatch.context() as patched:
            patched.setattr(place, what, broken)
            with app.pipeline() as run, run.phase("P01") as p, p.part("x") as part:
                part.items(1)
            done = []
            for attempt in run.attempts("P02"):
                with attempt:
                    done.append(1)
            assert done == [1]
