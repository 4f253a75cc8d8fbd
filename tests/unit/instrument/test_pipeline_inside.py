"""What belongs to what: phases in threads, tasks, functions and other traces."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from fleetwatch.instrument import current_phase, current_run, names, phase
from support_instrument import Application


def context_of(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def test_phases_in_threads_belong_to_the_run_however_they_come_by_it() -> None:
    app = Application()

    @phase("decorated")
    def decorated() -> None:
        pass

    with app.pipeline() as run:

        def explicit() -> None:
            with run.phase("explicit") as p, p.part("inner"):
                pass

        for work in (decorated, explicit):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        with run.phase("outer") as outer, ThreadPoolExecutor(2) as pool:

            def piece(_: int) -> None:
                with outer.part("piece") as part:
                    part.items(1)

            list(pool.map(piece, range(4)))
    ids = {span.name: context_of(span).span_id for span in app.spans}
    parents = {span.name: span.parent.span_id for span in app.spans if span.parent}
    assert parents == {
        "decorated": ids["RUN nightly"],
        "explicit": ids["RUN nightly"],
        "inner": ids["explicit"],
        "outer": ids["RUN nightly"],
        "piece": ids["outer"],
    }
    assert app.told("outer")[names.ITEMS_OUT] == 4
    assert len({context_of(span).trace_id for span in app.spans}) == 1


def test_executions_of_one_phase_at_once_in_tasks() -> None:
    app = Application()

    async def shard(number: int) -> None:
        async with phase("load") as p:
            await asyncio.sleep(0)
            assert current_phase() is p
            p.items(number)

    async def job() -> None:
        async with app.pipeline() as run:
            assert current_run() is run
            await asyncio.gather(*(shard(number) for number in (1, 2, 3)))

    asyncio.run(job())
    loads = [span.attributes or {} for span in app.spans if span.name == "load"]
    assert sorted(load[names.ITEMS_OUT] for load in loads) == [1, 2, 3]  # type: ignore[type-var]  # they are numbers
    assert len({load[names.PHASE_RUN_ID] for load in loads}) == 3
    assert current_run() is None
    assert current_phase() is None


def test_decorators_with_and_without_a_name_for_all_kinds_of_functions() -> None:
    app = Application()
    run = app.pipeline("sums")

    @phase
    def plain(n: int) -> int:
        return n

    @phase("second")
    async def coroutine() -> int:
        return 2

    @phase
    def generator() -> Iterator[int]:
        yield from (1, 2)

    @phase
    async def asynchronous() -> AsyncIterator[int]:
        yield 3

    async def rest() -> list[int]:
        return [await coroutine(), *[number async for number in asynchronous()]]

    @run
    def main() -> list[int]:
        inner = current_run()
        assert inner is not None
        third: Callable[[], int] = inner.phase(lambda: 4)
        return [plain(1), *generator(), *asyncio.run(rest()), third()]

    assert main() == [1, 1, 2, 2, 3, 4]
    assert main() == [1, 1, 2, 2, 3, 4]
    assert [span.name for span in app.spans[:6]] == [
        "plain", "generator", "second", "asynchronous", "<lambda>", "RUN sums",
    ]  # fmt: skip
    assert len({span.attributes[names.RUN_ID] for span in app.spans if span.attributes}) == 2


def test_a_run_inside_another_trace_has_a_trace_of_its_own_and_a_link() -> None:
    app = Application()
    with app.tracers.get_tracer("x").start_as_current_span("web request") as around:
        with app.pipeline() as run, run.phase("P01"):
            pass
        assert trace.get_current_span() is around
    root = app.span("RUN nightly")
    assert context_of(root).trace_id == context_of(app.span("P01")).trace_id
    assert context_of(root).trace_id != around.get_span_context().trace_id
    assert [link.context for link in root.links] == [around.get_span_context()]


def test_a_run_inside_a_phase_of_another_is_on_its_own() -> None:
    app = Application()
    with app.pipeline("outer") as outer, outer.phase("P01"):
        with app.pipeline("inner") as inner:
            assert current_run() is inner
            assert current_phase() is None
            with phase("P02"):
                sum(range(2_000_000))
        with phase("P03"):
            pass
    assert (app.told("P02")[names.PIPELINE], app.told("P03")[names.PIPELINE]) == ("inner", "outer")
    assert app.told("P02")[names.CPU_TIME] > app.told("P01")[names.CPU_TIME]
