"""What a slot shows of its run."""

from __future__ import annotations

from collections.abc import Sequence

from fleetwatch.app.pipelines.ring import Ends, Outlook, grouped, moving, standing
from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import Metric
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.pipelines import RunWithPhases, Tally, Usage
from support_pipeline_house import START, a_phase, a_run, with_phases
from support_program import samples

Shown = dict[tuple[str, ...], float]


def at(seconds: float) -> int:
    return START + int(seconds * SECOND)


def shown(
    run: RunWithPhases,
    now: float = 100,
    usual: Sequence[str] = (),
    outlook: Outlook | None = None,
    there: float | None = None,
) -> dict[str, Shown]:
    """Metric -> labels without pipeline and slot -> value, as Prometheus reads it."""
    parts = grouped(run, lambda phase: (phase.phase, phase.subphase))
    meter = Meter()
    meter.replace("standing", standing(run, parts, usual))
    if run.run.ended is None:
        meter.replace("moving", moving(run, parts, outlook, at(now), at(now if there is None else there)))
    text = exposition(meter, openmetrics=False)
    lines = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines)), "a series stands twice: Prometheus would drop the scrape"
    found: dict[str, Shown] = {}
    for name, series in samples(text).items():
        for labels, value in series.items():
            named = dict(labels)
            assert (named.pop("pipeline"), named.pop("slot")) == ("nightly", "3")
            found.setdefault(name, {})[tuple(value for _, value in sorted(named.items()))] = value
    return found


def of(found: dict[str, Shown], metric: Metric) -> Shown:
    return found.get(metric.prometheus, {})


def test_a_run_that_ended() -> None:
    run = a_run(slot=3, ended=at(60), version="1.4", host="node-1", llm_cost=2_500_000_000, machine_cost=None)
    found = shown(with_phases(run, a_phase(ended=at(20)), a_phase("P01", ended=at(50), result="failure")))
    assert of(found, pipelines.SLOT_INFO) == {("node-1", "run-1", "1.4"): 1}
    assert of(found, pipelines.SLOT_RUN_STATE) == {(): 4}
    assert of(found, pipelines.SLOT_RUN_START) == {(): START / SECOND}
    assert of(found, pipelines.SLOT_RUN_DURATION) == {(): 60}
    assert of(found, pipelines.SLOT_RUN_SPENT) == {("llm",): 2.5}, "what is not known is not shown"
    assert of(found, pipelines.SLOT_PHASE_STATE) == {("P00", ""): 4, ("P01", ""): 5}
    assert of(found, pipelines.SLOT_PHASE_DURATION) == {("P00", ""): 20, ("P01", ""): 50}


def test_a_run_under_way_goes_on_by_itself() -> None:
    run = with_phases(
        a_run(slot=3),
        a_phase(ended=at(20)),
        a_phase("P01", started=at(20), state="executing"),
        a_phase("P01", execution="part", subphase="load", started=at(25), state="finalizing"),
    )
    found = shown(run, now=90, usual=["P00", "P01", "P02"])
    assert of(found, pipelines.SLOT_RUN_STATE) == {(): 2}
    assert of(found, pipelines.SLOT_RUN_DURATION) == {(): 90}
    assert of(found, pipelines.SLOT_PHASE_STATE) == {("P00", ""): 4, ("P01", ""): 2, ("P01", "load"): 3, ("P02", ""): 0}
    assert of(found, pipelines.SLOT_PHASE_DURATION) == {("P00", ""): 20, ("P01", ""): 70, ("P01", "load"): 65}
    assert of(shown(run, now=91), pipelines.SLOT_RUN_DURATION) == {(): 91}
    assert of(found, pipelines.RUN_ETA) == {}
    assert of(found, pipelines.RUN_OVERDUE) == {}


def test_a_sender_whose_clock_leads_has_no_time_below_zero() -> None:
    found = shown(with_phases(a_run(slot=3, started=at(3600)), a_phase(started=at(3600))), now=0)
    assert of(found, pipelines.SLOT_RUN_DURATION) == {(): 0}
    assert of(found, pipelines.SLOT_PHASE_DURATION) == {("P00", ""): 0}


def test_what_is_under_way_lasts_by_the_clock_that_told_its_beginning() -> None:
    ends = Outlook(at(90), Ends(at(120), at(150)), {"P00": Ends(at(120), at(150))}, 0)
    found = shown(with_phases(a_run(slot=3, started=at(-3600))), now=100, there=-3500, outlook=ends)
    assert of(found, pipelines.SLOT_RUN_DURATION) == {(): 100}
    assert of(found, pipelines.RUN_ETA) == {("0.5",): 20, ("0.9",): 50}


def test_a_phase_that_is_tried_again_is_one_row() -> None:
    """Two attempts and the pause between them; the first one's items were not in vain for nobody but the progress."""
    run = with_phases(
        a_run(slot=3),
        a_phase(execution="1", ended=at(10), result="error", tally=Tally(items_out=50, expected=100)),
        a_phase(execution="2", attempt=2, started=at(15), tally=Tally(items_out=25, expected=100)),
    )
    found = shown(run, now=20)
    assert of(found, pipelines.SLOT_PHASE_STATE) == {("P00", ""): 2}
    assert of(found, pipelines.SLOT_PHASE_START) == {("P00", ""): START / SECOND}
    assert of(found, pipelines.SLOT_PHASE_DURATION) == {("P00", ""): 20}
    assert of(found, pipelines.SLOT_PHASE_PROGRESS) == {("P00",): 0.25}
    assert of(found, pipelines.SLOT_PHASE_ITEMS) == {("P00",): 75}


def test_executions_side_by_side_are_one_row() -> None:
    shards = [
        a_phase(
            execution=str(number),
            started=at(number),
            ended=at(40 + number) if number else None,
            usage=Usage(cpu=2 * SECOND, memory_peak=100 + number),
            tally=Tally(
                items_in=100,
                items_out=10 * number,
                expected=20,
                warnings=2,
                errors=(("ValueError", 2), ("KeyError", 1)),
            ),
            llm_cost=None if number else 500_000_000,
            machine_cost=250_000_000,
        )
        for number in range(3)
    ]
    found = shown(with_phases(a_run(slot=3), *shards), now=60)
    assert of(found, pipelines.SLOT_PHASE_STATE) == {("P00", ""): 2}, "one of them is under way"
    assert of(found, pipelines.SLOT_PHASE_DURATION) == {("P00", ""): 60}
    assert of(found, pipelines.SLOT_PHASE_PROGRESS) == {("P00",): 1}, "more than was expected is all of it"
    assert of(found, pipelines.SLOT_PHASE_ERRORS) == {("P00",): 9}
    assert of(found, pipelines.SLOT_PHASE_WARNINGS) == {("P00",): 6}
    assert of(found, pipelines.SLOT_PHASE_SPENT) == {("P00",): 1.25}
    assert of(found, pipelines.SLOT_PHASE_CPU) == {("P00",): 6}
    assert of(found, pipelines.SLOT_PHASE_MEMORY_PEAK) == {("P00",): 102}


def test_what_was_not_told_is_not_shown() -> None:
    found = shown(with_phases(a_run(slot=3), a_phase()))
    for metric in (
        pipelines.SLOT_PHASE_PROGRESS,
        pipelines.SLOT_PHASE_ITEMS,
        pipelines.SLOT_PHASE_CPU,
        pipelines.SLOT_PHASE_MEMORY_PEAK,
        pipelines.SLOT_RUN_SPENT,
        pipelines.SLOT_PHASE_SPENT,
    ):
        assert of(found, metric) == {}
    assert of(found, pipelines.SLOT_PHASE_ERRORS) == {("P00",): 0}
    assert of(found, pipelines.SLOT_PHASE_WARNINGS) == {("P00",): 0}
    assert of(found, pipelines.SLOT_PHASE_SPENT) == {}


def test_a_prediction_runs_down_and_past_its_p90_is_overdue() -> None:
    run = with_phases(a_run(slot=3), a_phase())
    outlook = Outlook(at(100), Ends(at(110), at(130)), {"P00": Ends(at(105), at(105)), "P09": Ends(0, 0)}, 0)
    found = shown(run, 104, outlook=outlook)
    assert of(found, pipelines.RUN_ETA) == {("0.5",): 6, ("0.9",): 26}
    assert of(found, pipelines.PHASE_ETA) == {("P00", "0.5"): 1, ("P00", "0.9"): 1}
    assert of(found, pipelines.RUN_OVERDUE) == {(): 0}
    found = shown(run, 140, outlook=outlook)
    assert of(found, pipelines.RUN_ETA) == {("0.5",): 0, ("0.9",): 0}
    assert of(found, pipelines.RUN_OVERDUE) == {(): 10}
    late = outlook._replace(run=Ends(at(100), at(100)), overdue=7 * SECOND)
    assert of(shown(run, 103, outlook=late), pipelines.RUN_OVERDUE) == {(): 10}


def test_warnings_and_known_costs_of_all_attempts_add_up() -> None:
    first = a_phase(ended=at(5), result="failure", tally=Tally(warnings=2), llm_cost=1_500_000_000)
    second = a_phase(execution="again", attempt=2, ended=at(9), tally=Tally(warnings=1), machine_cost=250_000_000)
    found = shown(with_phases(a_run(slot=3, ended=at(10)), first, second, a_phase("P01", ended=at(9))))
    assert of(found, pipelines.SLOT_PHASE_WARNINGS) == {("P00",): 3, ("P01",): 0}
    assert of(found, pipelines.SLOT_PHASE_SPENT) == {("P00",): 1.75}, "what is not known is not 0"
