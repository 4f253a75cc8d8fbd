"""What a run cost: calls by the tree of its trace, and the share of its machine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.run_cost import HOUR, MachineRule, machine_cost, owners, price_of
from fleetwatch.reckon.runs import merge_phase, merge_run
from fleetwatch.reckon.span_tree import Span
from fleetwatch.records.pipelines import RunWithPhases, Usage
from support_pipelines import begun, ended, phase, traced, traced_phase
from support_tasks import SECOND, at, llm, node, run, soups, span_id, step

DOLLARS = 3_600_000_000_001
"""Of an hour, in nano-USD: no round number of a second."""


def item(*parts: tuple[int, int], cpu: int | None = None, cores: int | None = 4, length: float = 60) -> RunWithPhases:
    """A run with phases of (start, length) in seconds, that took a second of processor time each."""
    report = ended("r1", 0, length, host="node-1", cores=cores, usage=Usage(cpu=cpu))
    phases = [
        merge_phase(None, phase(f"P{place}", start, start + lasted, usage=Usage(cpu=SECOND)), at(0))
        for place, (start, lasted) in enumerate(parts)
    ]
    return RunWithPhases(merge_run(None, report, at(0)), tuple(phases))


_parts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8)


@given(_parts)
def test_phases_never_cost_more_than_the_whole_machine_while_one_ran(parts: list[tuple[int, int]]) -> None:
    cost, shares = machine_cost(item(*parts, length=100), MachineRule("*", DOLLARS, whole=True))
    assert cost == round(DOLLARS * 100 / 3600)
    busy = len({second for start, length in parts for second in range(start, start + length)})
    total = sum(share or 0 for share in shares.values())
    # Each division and each rounding loses less than one.
    assert abs(total - DOLLARS * busy * SECOND / HOUR) <= 2 * len(parts) * (len(parts) + 1) * DOLLARS / HOUR + len(
        parts
    )


def test_more_than_all_of_a_machine_costs_all_of_it() -> None:
    rule = MachineRule("*", DOLLARS)
    assert machine_cost(item(cpu=10_000 * SECOND), rule)[0] == round(DOLLARS * 60 / 3600)
    assert machine_cost(item(cpu=120 * SECOND), rule)[0] == round(DOLLARS * 30 / 3600)
    assert machine_cost(item(cpu=None), rule) == (None, {})
    assert machine_cost(item(cpu=SECOND, cores=None), rule) == (None, {})
    assert machine_cost(item(cpu=SECOND), None) == (None, {})
    under_way = RunWithPhases(merge_run(None, begun(host="node-1"), at(0)), ())
    assert machine_cost(under_way, rule) == (None, {})


def test_the_first_rule_that_fits_counts() -> None:
    rules = (MachineRule("gpu-*", 5), MachineRule("*", 7))
    assert price_of("gpu-1", rules) == rules[0]
    assert price_of("node-1", rules) == rules[1]
    assert price_of("node-1", rules[:1]) is None
    assert price_of("", rules) is None, "nobody said which machine"


def whose(spans: list[Span], *items: RunWithPhases) -> dict[str, str]:
    found = owners(spans, items, at(1000))
    return {span.rstrip(b".").decode(): "/".join(owner) for span, owner in found.items()}


def test_a_call_is_found_through_agents_tools_and_steps() -> None:
    report = traced(ended(), "top")
    whole = RunWithPhases(
        merge_run(None, report, at(0)), (merge_phase(None, traced_phase(phase("P01", 0, 9), "p1"), at(0)),)
    )
    spans = [
        node(llm("deep", "agent", 1, 2)), node(run("agent", "s1", 0, 8)), node(step("s1", "p1", 0, 9)),
        node(step("p1", "top", 0, 9)), node(llm("beside", "top", 1, 2)), node(llm("astray", "?", 1, 2)),
    ]  # fmt: skip
    assert whose(spans, whole) == {"deep": "nightly/r1/P01", "beside": "nightly/r1/", "astray": "nightly/r1/P01"}


def test_a_run_under_way_contains_what_happens_now() -> None:
    whole = RunWithPhases(merge_run(None, traced(begun(), "top"), at(0)), (merge_phase(None, phase("P01", 5), at(0)),))
    assert whose([node(llm("now", "?", 500, 501)), node(llm("early", "?", 1, 2))], whole) == {
        "now": "nightly/r1/P01",
        "early": "nightly/r1/",
    }


@given(soups())
def test_every_call_is_somebody_s(spans: list[Span]) -> None:
    first = merge_run(None, traced(ended("r1", 0, 6), "a"), at(0))
    second = merge_run(None, traced(ended("r2", 2, 12), "x"), at(0))
    inside = merge_phase(None, traced_phase(phase("P01", 1, 5), "b", "a"), at(0))
    found = owners(spans, (RunWithPhases(first, (inside,)), RunWithPhases(second, ())), at(1000))
    calls = {span.span for span in spans if span.kind == "call"} - {span_id(name) for name in ("a", "b", "x")}
    assert found.keys() == calls
    assert set(found.values()) <= {("nightly", "r1", ""), ("nightly", "r1", "P01"), ("nightly", "r2", "")}
