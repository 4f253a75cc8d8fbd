"""Work that went with its machine: found by any of its names, told once, and a machine's hour not lost twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.app.spot.lost import shares
from fleetwatch.catalogue import spot
from fleetwatch.records.agents import AgentRun
from fleetwatch.records.kubernetes import Cluster, Node
from fleetwatch.records.pipelines import RunReport
from fleetwatch.records.spot import DrainStep, SpotSignal
from support_ledger import COST
from support_llm import call
from support_spot_judge import HOUR, NOON, SECOND, Court, machine, pool

HOST = "ip-10-0-0-1.ec2.internal"
TRACE = bytes(range(16))


@pytest.fixture
def court(tmp_path: Path) -> Iterator[Court]:
    """A machine at 0.04 USD an hour, seen at noon and warned at ten minutes to one."""
    found = Court(tmp_path)
    furnish(found)
    found.fleet(machine(1, names=(HOST, "ip-10-0-0-1")))
    found.look()
    found.now = NOON + HOUR - 600 * SECOND
    yield found
    found.close()


def furnish(court: Court) -> None:
    court.price(0.04)
    court.list_price(0.10)
    court.shape("m7g.large")


def warn(court: Court) -> None:
    given = ("warning", "warning", machine(1).id, "prod", "us-east-1", court.now, court.now, "terminate")
    court.open_ledger.commit([SpotSignal(*given)])  # type: ignore[arg-type] # words of the test
    court.look()


def broken_run(name: str, started: int, ended: int, host: str = HOST, reason: str = "host_gone") -> list[RunReport]:
    """A run that was given up."""
    return [
        RunReport("nightly", name, started, state="executing", started=started, host=host),
        RunReport("nightly", name, ended, state="ended", result="error", reason=reason, ended=ended, host=host),
    ]


def settle(court: Court) -> None:
    """An hour later all costs are known."""
    court.look(later=3 * 3600)


def test_a_run_that_went_with_its_machine_costs_what_the_machine_did(court: Court) -> None:
    """It had worked for half an hour: 0.02 USD."""
    ended = court.now + 60 * SECOND
    court.open_ledger.commit(broken_run("1", ended - HOUR // 2, ended))
    warn(court)
    settle(court)
    settle(court)
    assert court.total(spot.LOST_ITEMS, work="pipeline_run") == 1
    assert court.total(spot.LOST_WORK, account="prod", region="us-east-1") == HOUR // 2
    assert court.total(spot.INTERRUPTION_COST, cost="machine") == 20_000_000


def test_it_is_told_once_though_the_exporter_dies(court: Court) -> None:
    """EC2 has forgotten the machine by then; its names and its price are remembered."""
    warn(court)
    court.open()
    furnish(court)
    del court.desk.spot_prices[pool()]
    court.fleet()
    ended = court.now
    court.open_ledger.commit(broken_run("1", ended - HOUR // 2, ended, host="ip-10-0-0-1"))
    settle(court)
    court.open()
    furnish(court)
    settle(court)
    assert court.total(spot.LOST_ITEMS) == 1
    assert court.total(spot.INTERRUPTION_COST, cost="machine") == 20_000_000
    assert court.total(spot.LOST_UNPRICED) == 0


def test_work_elsewhere_at_other_times_or_that_ended_well_is_not_lost(court: Court) -> None:
    now = court.now
    court.open_ledger.commit(broken_run("elsewhere", now - HOUR, now, host="ip-10-0-0-2.ec2.internal"))
    court.open_ledger.commit(broken_run("long before", now - HOUR, now - HOUR // 2))
    court.open_ledger.commit(broken_run("well", now - HOUR, now, reason="completed"))
    warn(court)
    settle(court)
    assert court.total(spot.LOST_ITEMS) == 0


@pytest.mark.parametrize("shared", ["group", "node-1"])
def test_a_name_that_several_machines_bear_tells_of_none(court: Court, shared: str) -> None:
    """The tag Name of a group, or a node's name that two clusters have."""
    for number, cluster in enumerate(["blue", "green"], 1):
        node = Node("node-1", machine(number).id, "p", "spot", "m7g.large", "z", (0, 0, 0), (1, 1, 1), True, 1.0)
        court.desk.clusters[cluster] = Cluster(cluster, "", court.now, (node,))
    court.fleet(machine(1, names=(HOST, "group")), machine(2, names=("ip-10-0-0-2", "group")))
    court.look()
    now = court.now
    court.open_ledger.commit([DrainStep("blue", "p", "node-1", machine(1).id, "drained", now)])
    court.open_ledger.commit(broken_run("1", now - HOUR, now, host=shared))
    warn(court)
    settle(court)
    assert court.total(spot.LOST_ITEMS) == 0
    court.open_ledger.commit(broken_run("2", now - HOUR, now, host=HOST))
    settle(court)
    assert court.total(spot.LOST_ITEMS) == 1


def test_a_rebalance_alone_loses_nothing(court: Court) -> None:
    given = ("r", "rebalance", machine(1).id, "prod", "us-east-1", court.now, court.now)
    court.open_ledger.commit([SpotSignal(*given)])  # type: ignore[arg-type] # words of the test
    court.open_ledger.commit(broken_run("1", court.now - HOUR, court.now))
    settle(court)
    assert court.total(spot.LOST_ITEMS) == 0


def test_an_agents_task_that_broke_off_is_lost_with_its_machine(court: Court) -> None:
    """Told by its host's name; another one ended well, and one is elsewhere."""
    ended, start = court.now, court.now - HOUR // 4

    def task(number: int, outcome: str, host: str) -> AgentRun:
        return AgentRun(TRACE + bytes([number] * 8), b"", start, ended, "triage", "t", outcome, "error", host)

    court.open_ledger.commit([call(key=TRACE + bytes([9] * 8), span=TRACE + bytes([9] * 8), at=ended - SECOND)])
    court.tasks = [task(1, "cancelled", HOST), task(2, "ok", HOST), task(3, "error", "other")]
    court.look()
    court.open()
    furnish(court)
    warn(court)
    court.look(later=15)
    assert court.total(spot.LOST_ITEMS, work="agent_task") == 1
    assert court.total(spot.INTERRUPTION_COST, cost="machine") == 10_000_000
    assert court.total(spot.INTERRUPTION_COST, cost="llm") == COST


def test_work_waits_for_a_price_that_is_yet_to_be_read(court: Court) -> None:
    """As after a start: machines are read before their prices. Where none comes, it is told without."""
    task = AgentRun(TRACE + bytes(8), b"", court.now - HOUR // 4, court.now, "triage", "t", "error", "error", HOST)
    del court.desk.spot_prices[pool()]
    court.tasks = [task]
    warn(court)
    court.look(later=15)
    assert court.total(spot.LOST_ITEMS) == 0
    court.price(0.04)
    court.look(later=15)
    court.look(later=15)
    assert court.total(spot.INTERRUPTION_COST, cost="machine") == 10_000_000
    assert (court.total(spot.LOST_ITEMS), court.total(spot.LOST_UNPRICED)) == (1, 0)


def test_work_whose_machine_never_has_a_price_is_told_without(court: Court) -> None:
    task = AgentRun(TRACE + bytes(8), b"", court.now - HOUR // 4, court.now, "triage", "t", "error", "error", HOST)
    del court.desk.spot_prices[pool()]
    court.tasks = [task]
    warn(court)
    court.look(later=901)
    court.look(later=15)
    assert (court.total(spot.LOST_ITEMS), court.total(spot.LOST_UNPRICED)) == (1, 1)
    assert court.total(spot.INTERRUPTION_COST, cost="machine") == 0


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(sorted).map(tuple), max_size=6))
def test_shares_add_up_to_the_time_that_anybody_worked(spans: list[tuple[int, int]]) -> None:
    found = shares(spans)
    worked = {moment for since, until in spans for moment in range(since, until)}
    assert abs(sum(found) - len(worked)) <= len(spans)
    assert all(0 <= share <= until - since + 1 for share, (since, until) in zip(found, spans, strict=True))
