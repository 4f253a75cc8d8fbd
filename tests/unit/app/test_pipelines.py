"""Reports in, series out: the ring, predictions, who is given up and who is forgotten, over restarts."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.catalogue import exporter, hosts, pipelines
from fleetwatch.catalogue.metric import OTHER
from fleetwatch.dialects import translate_logs, translate_metrics, translate_traces
from fleetwatch.ledger import roster
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.pipelines import RESULTS, RunReport, Tally, Usage
from support_genai import captured
from support_hosts import read, report_of
from support_pipeline_house import START, PipelineHouse, told, told_phase
from support_program import labels

Golden = Callable[[str, str], None]
Make = Callable[..., PipelineHouse]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """`make(**settings)`; at most one of them has the ledger."""
    made: list[PipelineHouse] = []

    def start(**sections: Any) -> PipelineHouse:
        made.append(PipelineHouse(tmp_path, **sections))
        return made[-1]

    yield start
    for house in made:
        house.books.writer.close()


@pytest.fixture
def house(make: Make) -> PipelineHouse:
    return make()


def test_golden(make: Make, golden: Golden) -> None:
    """A nightly pipeline with a past, at work; one that failed; one that was expected and never came."""
    house = make(
        pipelines={
            "slots": 3,
            "machines": [{"host": "node-*", "usd_per_hour": "1.8", "share": "whole"}],
            "signals": [{"name": "water.pressure", "kind": "gauge"}, {"name": "water.events"}],
            "expected": [{"pipeline": "nightly", "every": "1d"}, {"pipeline": "weekly", "every": "7d"}],
            "thresholds": [{"alert": "PhaseSlower", "pipeline": "nightly", "phase": "P01", "threshold": 1.5}],
        }
    )
    for number in range(25):
        house.now += 600
        # Of late P01 takes twice as long.
        slow = 20 if number >= 20 else 0
        began = house.now - 60 - slow
        work = Tally(items_in=200, items_out=100, expected=100, artifacts=1, artifact_bytes=5000)
        house.tell(
            told(f"n-{number}", at=house.now, started=began, ended=house.now, version="2.0", host="node-1"),
            told_phase("P00", f"n-{number}", at=house.now, started=began, ended=began + 40, tally=work),
            told_phase(
                "P01", f"n-{number}", at=house.now, started=began + 40, ended=house.now,
                usage=Usage(cpu=9 * 10**9, memory_peak=200_000_000, read=4096, written=0),
            ),
        )  # fmt: skip
    house.tell(
        told("h-1", "hourly", at=house.now, started=house.now - 9, ended=house.now, result="failure", reason="phase"),
        told_phase(
            "load", "h-1", "hourly", at=house.now, started=house.now - 8, ended=house.now, result="failure",
            reason="exception", error_type="ValueError", tally=Tally(errors=(("ValueError", 1),)),
        ),
    )  # fmt: skip
    house.after(1)
    began = house.now
    house.tell(
        told("n-now", at=began, started=began, version="2.1", host="node-1", interval=10 * 10**9),
        told_phase(
            "P00", "n-now", at=began + 10, started=began + 1,
            tally=Tally(60, 30, 100, signals=(("water.events", 3.0), ("water.pressure", 2.1))),
        ),
        told_phase("P00", "n-now", at=began + 10, started=began + 2, subphase="read", execution="part"),
    )  # fmt: skip
    house.after(10)
    lines = [line for line in house.text().splitlines() if line.startswith("pipeline_") and "_bucket{" not in line]
    golden("sources/pipelines.prom", "\n".join(lines) + "\n")


def test_what_the_instrument_sends_is_shown_live_and_then_as_it_ended(house: PipelineHouse, golden: Golden) -> None:
    """Recorded OTLP of one run: events as it began, gauges in its midst, spans at its end; two of them come twice."""
    events = translate_logs(captured("cicd/instrument-logs", ExportLogsServiceRequest), START).records
    beats = translate_metrics(captured("cicd/instrument-metrics", ExportMetricsServiceRequest), START).records
    spans = translate_traces(captured("cicd/instrument-spans", ExportTraceServiceRequest), START).records
    house.now = (max(record.at for record in spans if isinstance(record, RunReport)) - START) // SECOND + 5
    house.tell(*events, *beats)
    house.after(1)
    assert house.value(pipelines.RUN_ACTIVE, state="executing") == 1
    assert house.value(pipelines.SLOT_PHASE_PROGRESS, slot="0", phase="load") == 0.8
    assert house.value(pipelines.SLOT_PHASE_STATE, slot="0", phase="load", subphase="read") == 2
    house.tell(*spans, *events, *spans)
    house.after(15)
    lines = [line for line in house.text().splitlines() if line.startswith("pipeline_") and "_bucket{" not in line]
    golden("sources/pipelines-instrument.prom", "\n".join(lines) + "\n")


def ring_of(house: PipelineHouse) -> set[str]:
    """What slots show, and what was counted."""
    return {line for line in house.text().splitlines() if line.startswith(("pipeline_slot_", "pipeline_runs_"))}


def ended(house: PipelineHouse) -> dict[tuple[str, ...], float]:
    """Runs that were counted, by pipeline, result and reason."""
    told = [(dict(series), value) for series, value in house.shown(pipelines.RUNS).items() if value]
    return {tuple(series[name] for name in pipelines.RUNS.label_names): value for series, value in told}


class TestRing:
    def test_a_new_run_takes_the_place_of_the_one_that_ended_longest_ago(self, house: PipelineHouse) -> None:
        for number in range(25):
            house.now += 600
            house.run(f"run-{number}")
        infos = house.shown(pipelines.SLOT_INFO)
        assert {dict(series)["run_id"] for series in infos} == {f"run-{number}" for number in range(15, 25)}
        assert {dict(series)["slot"] for series in infos} == {str(slot) for slot in range(10)}

    def test_runs_add_nothing_but_their_names(self, house: PipelineHouse) -> None:
        numbers = set()
        for number in range(200):
            house.now += 86
            house.run(f"run-{number}")
            if number >= 30 and number % 37 == 0:
                house.after(20)
                numbers.add(len([line for line in house.text().splitlines() if line.startswith("pipeline_")]))
        assert len(numbers) == 1
        assert house.shown(exporter.LABEL_OVERFLOW) == {}

    def test_phases_of_the_slot_s_former_run_are_gone(self, make: Make) -> None:
        house = make(pipelines={"slots": 2})
        house.run("one", phases=4)
        house.now += 600
        house.run("two", phases=1)
        house.now += 600
        house.run("three", phases=1)
        began = house.shown(pipelines.SLOT_PHASE_START)
        assert {dict(series)["phase"] for series in began} == {"P00"}

    def test_a_run_under_way_moves_by_itself_and_stands_still_when_it_has_ended(self, house: PipelineHouse) -> None:
        house.tell(told(at=0, started=0), told_phase(at=0, started=0))
        house.after(30)
        assert house.value(pipelines.SLOT_RUN_DURATION, slot="0") == 30
        assert house.value(pipelines.RUN_ACTIVE, state="executing") == 1
        assert house.value(pipelines.PHASE_ACTIVE, phase="P00", state="executing") == 1
        house.after(10)
        house.tell(told(at=40, ended=40), told_phase(at=40, ended=40))
        house.after(60)
        assert house.value(pipelines.SLOT_RUN_DURATION, slot="0") == 40
        assert house.value(pipelines.SLOT_PHASE_DURATION, slot="0", phase="P00", subphase="") == 40
        assert house.value(pipelines.RUN_ACTIVE, state="executing") == 0
        assert house.value(pipelines.PHASE_ACTIVE, phase="P00", state="executing") == 0
        assert house.value(pipelines.LAST_SUCCESS) == START / 1e9 + 40

    def test_after_a_crash_all_is_as_it_was(self, house: PipelineHouse) -> None:
        for number in range(12):
            house.now += 600
            house.run(f"run-{number}")
        house.tell(
            told("open", at=house.now, started=house.now), told_phase(run="open", at=house.now, started=house.now)
        )
        house.after(5)

        def series() -> list[str]:
            # Predictions, and how good they were, are in memory alone.
            lines = [line for line in house.text().splitlines() if line.startswith("pipeline_")]
            return sorted(line for line in lines if "_eta_" not in line and "_overdue_" not in line)

        before = series()
        house.crash()
        house.books.tick()
        assert series() == before

    def test_a_name_for_each_run_is_one_phase(self, make: Make) -> None:
        house = make(pipelines={"max_phases": 3})
        for number in range(30):
            house.now += 600
            house.tell(
                told(f"run-{number}", at=house.now, ended=house.now, started=house.now - 9),
                told_phase(f"P-{number}", f"run-{number}", at=house.now, ended=house.now, started=house.now - 9),
            )
        house.after(3)
        named = {dict(series)["phase"] for series in house.shown(pipelines.SLOT_PHASE_STATE)}
        assert named == {OTHER}
        counted = house.shown(pipelines.PHASE_DURATION, "_count")
        assert sum(counted.values()) == 30
        assert {dict(series)["phase"] for series in counted} == {"P-0", "P-1", "P-2", OTHER}

    def test_where_a_scrape_has_no_room_the_phases_are_left_out(self, make: Make) -> None:
        house = make(labels={"max_series": 700})
        for number in range(10):
            house.now += 600
            house.run(f"run-{number}", phases=40)
        text = house.text()
        assert len(house.shown(pipelines.SLOT_RUN_STATE)) == 10
        assert sum(not line.startswith("#") for line in text.splitlines()) < 900
        assert any(
            dict(series)["metric"] == "pipeline_slot_phase_state" for series in house.shown(exporter.LABEL_OVERFLOW)
        )


class TestPredictions:
    def test_an_end_that_was_predicted_is_scored_when_it_comes(self, house: PipelineHouse) -> None:
        for number in range(6):
            house.now += 600
            house.run(f"run-{number}", took=100, phases=1)
        house.after(1)
        began = house.now
        house.tell(told("now", at=began, started=began), told_phase(run="now", at=began, started=began))
        house.after(50)
        eta = house.shown(pipelines.RUN_ETA)
        assert set(eta.values()) == {50}
        assert house.value(pipelines.RUN_OVERDUE) is None
        assert house.shown(pipelines.RUN_OVERDUE).popitem()[1] == 0
        house.after(70)
        assert house.shown(pipelines.RUN_OVERDUE).popitem()[1] == 20
        house.tell(told("now", at=house.now, ended=house.now))
        house.after(2)
        assert house.value(pipelines.ETA_ERROR, "_count") == 3
        assert house.value(pipelines.ETA_SCORED, within="no") == 3
        assert house.shown(pipelines.RUN_ETA) == {}

    @pytest.mark.parametrize("lead", [-7200, -90, 90, 7200])
    def test_a_sender_s_wrong_clock_makes_no_run_late(self, house: PipelineHouse, lead: float) -> None:
        """lead: seconds by which the sender's clock is fast."""
        for number in range(6):
            house.now += 600
            house.run(f"run-{number}", took=100, phases=1)
        house.after(1)
        began = house.now + lead
        for _ in range(9):
            # The ledger takes no word for later than when it came.
            at = min(house.now, house.now + lead)
            house.tell(
                told("now", at=at, started=began, interval=10 * SECOND),
                told_phase(run="now", at=at, started=began),
            )
            house.after(10)
        assert house.shown(pipelines.SLOT_RUN_DURATION)[labels(pipeline="nightly", slot="6")] == 90
        eta = house.shown(pipelines.RUN_ETA)
        assert set(eta.values()) == {10}
        assert set(house.shown(pipelines.RUN_OVERDUE).values()) == {0}
        ended = house.now + lead + 10
        house.after(10)
        house.tell(told("now", at=min(house.now, ended), started=began, ended=ended))
        house.after(2)
        assert house.value(pipelines.ETA_SCORED, within="yes") == 3

    def test_a_run_that_failed_says_nothing_about_predictions(self, house: PipelineHouse) -> None:
        for number in range(6):
            house.now += 600
            house.run(f"run-{number}", took=100)
        began = house.now
        house.tell(told("now", at=began, started=began))
        house.after(50)
        house.tell(told("now", at=house.now, ended=house.now, result="failure", reason="exception"))
        house.books.tick()
        assert house.value(pipelines.ETA_ERROR, "_count") == 0


class TestGivenUp:
    def test_a_run_that_falls_silent_ends_with_its_phases_once(self, house: PipelineHouse) -> None:
        beat: dict[str, Any] = {"interval": 10 * 10**9, "host": "elsewhere"}
        house.tell(told(at=0, started=0, **beat), told_phase(at=0, started=0))
        house.after(20)
        house.tell(told(at=20, **beat))
        house.after(29)
        assert house.value(pipelines.RUN_ACTIVE, state="executing") == 1
        house.after(2)
        assert house.value(pipelines.RUN_ACTIVE, state="executing") == 0
        assert house.value(pipelines.RUNS, result="error", reason="lost") == 1
        assert house.value(pipelines.SLOT_RUN_STATE, slot="0") == 6
        assert house.value(pipelines.SLOT_PHASE_STATE, slot="0", phase="P00", subphase="") == 6
        assert house.value(pipelines.SLOT_RUN_DURATION, slot="0") == 20
        house.after(60)
        house.crash()
        house.after(60)
        assert sum(house.shown(pipelines.RUNS).values()) == 1

    def test_why_is_found_out_from_the_machines(self, make: Make, tmp_path: Path) -> None:
        """One run on this machine, one where memory ran out, one whose machine fell silent with it, one that beats."""
        (tmp_path / "vmstat").write_text("oom_kill 7\n")
        house = make(host={"enabled": False, "name": "here", "proc": str(tmp_path)})

        def report(host: str, kills: float) -> None:
            told = report_of(host, [hosts.REPORT_INTERVAL(5), hosts.OOM_KILLS(kills)], house.clock())
            house.books.hosts.take(read(told, house.clock()))

        names = ("here", "oom", "gone", "fine")
        for host in names:
            house.tell(told(host, at=0, started=0, interval=10 * SECOND, host=host))
        for second in range(1, 61):
            house.after(1)
            if second % 5 == 0:
                report("oom", 3 if second < 20 else 4)
                report("fine", 1)
                if second <= 15:
                    report("gone", 1)
            if second % 10 == 0:
                house.tell(told("fine", at=second, interval=10 * SECOND))
                if second == 10:
                    house.tell(*(told(host, at=second, interval=10 * SECOND) for host in names[:3]))
            house.books.hosts.watch()
        reasons = {run.run.run: run.run.reason for run in house.ledger.pipelines.history("nightly", 9)}
        assert reasons == {"here": "died", "oom": "oom_killed", "gone": "host_gone"}
        assert house.value(pipelines.RUN_ACTIVE, state="executing") == 1
        (tmp_path / "vmstat").write_text("oom_kill 8\n")
        house.tell(told("late", at=house.now, started=house.now, interval=10 * SECOND, host="here"))
        house.after(3)
        (tmp_path / "vmstat").write_text("oom_kill 9\n")
        house.after(40)
        assert ended(house)["nightly", "error", "oom_killed"] == 2

    def test_its_real_end_corrects_that(self, house: PipelineHouse) -> None:
        house.tell(told(at=0, started=0, interval=10**9))
        house.after(20)
        assert house.value(pipelines.SLOT_RUN_STATE, slot="0") == 6
        house.tell(told(at=30, started=0, ended=25))
        house.after(3)
        assert house.value(pipelines.SLOT_RUN_STATE, slot="0") == 4
        assert house.value(pipelines.RUNS_CORRECTED, result="success") == 1
        assert sum(house.shown(pipelines.RUNS).values()) == 1
        assert house.value(pipelines.SLOT_RUN_DURATION, slot="0") == 25

    def test_a_ledger_that_cannot_write_gives_nobody_up_and_is_tried_again(self, house: PipelineHouse) -> None:
        house.tell(told(at=0, started=0, interval=10**9))
        house.after(10)
        house.ledger._db.execute("PRAGMA query_only = 1")
        house.after(120)
        assert house.value(pipelines.RUN_ACTIVE, state="executing") == 1
        assert house.books.writer.trouble is not None
        house.ledger._db.execute("PRAGMA query_only = 0")
        house.books.checkpoint()
        house.after(14)
        assert house.value(pipelines.RUN_ACTIVE, state="executing") == 1, "its reports could not be taken"
        house.after(3)
        assert house.value(pipelines.RUN_ACTIVE, state="executing") == 0

    def test_one_that_was_forgotten_or_had_no_room_is_not_under_way_for_ever(self, make: Make) -> None:
        house = make(labels={"limits": {"pipeline": 2}})
        for name in ("one", "two", "three"):
            house.tell(told("1", name, at=0, started=0, interval=10**9))
        house.after(1)
        roster.ask(house.ledger.path, "one", "forget_pipeline")
        house.books.checkpoint()
        house.after(30)
        assert [
            run.run.result for name in ("one", "two", "three") for run in house.ledger.pipelines.history(name, 9)
        ] == ["error"] * 3


class TestForgotten:
    def test_a_pipeline_without_a_run_for_long_makes_room(self, make: Make) -> None:
        house = make(labels={"limits": {"pipeline": 2}}, pipelines={"forget_after": "1h"})
        house.run("1", "old")
        house.run("1", "kept")
        house.run("1", "third")
        assert {dict(series)["pipeline"] for series in house.shown(pipelines.RUNS)} == {"old", "kept", OTHER}
        assert {dict(series)["pipeline"] for series in house.shown(pipelines.SLOT_INFO)} == {"old", "kept"}
        house.after(3000, step=5)
        house.run("2", "kept")
        house.after(700, step=5)
        house.books.checkpoint()
        assert 'pipeline="old"' not in house.text()
        house.run("2", "third")
        house.books.tick()
        assert {dict(series)["pipeline"] for series in house.shown(pipelines.RUNS)} == {"kept", "third", OTHER}
        assert {dict(series)["pipeline"] for series in house.shown(pipelines.SLOT_INFO)} == {"kept", "third"}

    @pytest.mark.parametrize("lead", [-40 * 86400, 3600])
    def test_a_sender_s_wrong_clock_neither_hastens_nor_delays_it(self, make: Make, lead: float) -> None:
        house = make(pipelines={"forget_after": "1h"})
        for number in range(3):
            end = house.now + lead
            house.tell(told(str(number), at=min(house.now, end), started=end - 10, ended=end))
            house.after(3000, step=5)
            house.books.checkpoint()
        assert house.value(pipelines.FIRST_SEEN) is not None
        house.after(700, step=5)
        house.books.checkpoint()
        assert house.value(pipelines.FIRST_SEEN) is None

    def test_one_that_is_expected_stays(self, make: Make) -> None:
        house = make(pipelines={"forget_after": "1h", "expected": [{"pipeline": "nightly", "every": "1d"}]})
        house.run("1")
        house.after(7200, step=5)
        house.books.checkpoint()
        assert house.value(pipelines.EXPECTED_PERIOD) == 86400
        assert house.shown(pipelines.RUNS)

    def test_somebody_asks_for_it_at_the_terminal(self, house: PipelineHouse) -> None:
        house.run("1", "nightly")
        house.run("1", "renamed")
        house.after(2)
        number = roster.ask(house.ledger.path, "nightly", "forget_pipeline")
        house.books.checkpoint()
        assert not roster.is_waiting(house.ledger.path, number)
        assert "nightly" not in house.text()
        assert ended(house) == {("renamed", "success", "completed"): 1}
        house.crash()
        assert "nightly" not in house.text()

    def test_one_that_comes_again_is_born_at_zero(self, make: Make) -> None:
        """Also where it was shown before: Prometheus saw its series end."""
        house = make(web={"scrape_interval": 10})
        house.run("1")
        house.after(60)
        house.books.checkpoint()
        assert sum(house.shown(pipelines.RUNS).values()) == 1
        roster.ask(house.ledger.path, "nightly", "forget_pipeline")
        house.books.checkpoint()
        house.run("2")
        house.after(1)
        assert set(house.shown(pipelines.RUNS).values()) == {0}
        house.crash()
        assert set(house.shown(pipelines.RUNS).values()) == {0}
        house.after(60)
        house.books.checkpoint()
        assert sum(house.shown(pipelines.RUNS).values()) == 1


def test_an_expected_pipeline_that_never_came_is_waited_for_since_it_was_expected(make: Make) -> None:
    house = make(pipelines={"expected": [{"pipeline": "nightly", "every": "1d"}]})
    house.after(600, step=5)
    house.crash()
    assert house.value(pipelines.FIRST_SEEN) == START / 1e9
    assert house.value(pipelines.EXPECTED_PERIOD) == 86400
    assert house.shown(pipelines.LAST_SUCCESS) == {}


def test_what_is_left_out_is_counted(make: Make) -> None:
    house = make(pipelines={"max_open": 2})
    house.tell(*(told(f"run-{number}", at=0, started=0) for number in range(5)))
    house.after(2)
    assert house.shown(pipelines.REJECTED)[labels(reason="too_many")] == 3
    phase = told_phase(run="run-0", at=5, started=0, ended=5, tally=Tally(signals=(("a", 1.0), ("b", 2.0))))
    house.tell(phase)
    house.after(3)
    assert house.value(pipelines.SIGNALS_UNDECLARED) == 2


SECONDS = st.floats(-50, 150, allow_nan=False)
ENDS = st.sampled_from(["", *RESULTS])
RUN_REPORTS = st.builds(
    lambda run, at, start, end, result, interval: (
        told(run, at=at, started=start, interval=interval)
        if not result
        else told(run, at=at, started=start, ended=end, result=result)
    ),
    st.sampled_from("abc"), SECONDS, SECONDS, SECONDS, ENDS, st.sampled_from([None, SECOND, 30 * SECOND]),
)  # fmt: skip
PHASE_REPORTS = st.builds(
    lambda run, phase, part, execution, at, start, end, result, items, expected: told_phase(
        phase, run, at=at, started=start, subphase=part, execution=execution,
        tally=Tally(items_out=items, expected=expected), **({"ended": end, "result": result} if result else {}),
    ),
    st.sampled_from("abc"), st.sampled_from(["P0", "P1", "P2", OTHER, ""]), st.sampled_from(["", "x", "y"]),
    st.sampled_from("1234"), SECONDS, SECONDS, SECONDS, ENDS, st.integers(0, 200), st.sampled_from([None, 0, 100]),
)  # fmt: skip


@given(st.lists(st.one_of(RUN_REPORTS, PHASE_REPORTS), max_size=20), st.randoms())
@hypothesis_settings(max_examples=20, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_whatever_comes_in_whatever_order_a_scrape_is_sound(reports: list[Any], chance: random.Random) -> None:
    """Late, early, twice and contradictory: each series once, no run in two slots, and it is the same after a crash."""
    with tempfile.TemporaryDirectory() as folder:
        house = PipelineHouse(Path(folder), pipelines={"slots": 2, "max_phases": 2})
        try:
            for number in range(6):
                house.now += 100
                house.run(f"past-{number}", took=chance.uniform(0, 100))
            for report in reports:
                house.now += chance.uniform(0, 20)
                house.tell(report, *chance.choices(reports, k=2))
                house.books.tick()
            house.after(5)
            infos = [dict(series) for series in house.shown(pipelines.SLOT_INFO)]
            assert len({series["slot"] for series in infos}) == len(infos) <= 2
            assert len({series["run_id"] for series in infos}) == len(infos)
            durations = house.shown(pipelines.SLOT_RUN_DURATION).values()
            assert all(math.isfinite(value) and value >= 0 for value in durations)
            ring = ring_of(house)
            house.crash()
            house.books.tick()
            assert ring_of(house) ^ ring == set()
        finally:
            house.books.writer.close()
