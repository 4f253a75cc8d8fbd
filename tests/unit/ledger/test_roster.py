"""The roster outlives the exporter, and other processes may ask for changes while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.ledger import Ledger, LedgerError
from fleetwatch.ledger.roster import Changes, ask, is_waiting
from fleetwatch.records.hosts import Host
from support_ledger import BOOK, requests_and_cost
from support_llm import call

NODE = Host("node-1", 1, 2, 3, 4, -5, 6, 7, None, 9, None, "p5.48xlarge", "eu-central-1", "spot")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "odd #name?" / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger(path, BOOK)
    yield opened
    opened.close()


def test_the_roster_is_read_as_it_was_written(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    other = NODE._replace(name="node-2", goodbye_at=8)
    ledger.checkpoint(hosts=Changes([other, NODE]))
    ledger.checkpoint(hosts=Changes([NODE._replace(last_report=10)], ["node-2"]))
    ledger.close()
    again = Ledger(path, BOOK)
    assert again.hosts() == [NODE._replace(last_report=10)]
    again.close()


def test_a_checkpoint_that_fails_leaves_the_roster_as_it_was(ledger: Ledger) -> None:
    ledger.checkpoint(hosts=Changes([NODE]))
    with pytest.raises(OverflowError):
        ledger.checkpoint(hosts=Changes([NODE._replace(sent=1 << 70)], ["node-1"]))
    assert ledger.hosts() == [NODE]


def test_another_process_asks_and_hears_when_it_is_done(ledger: Ledger, path: Path) -> None:
    first, second = ask(path, "node-1", "confirm"), ask(path, "node-2", "forget")
    assert [(item.name, item.wish) for item in ledger.host_requests()] == [("node-1", "confirm"), ("node-2", "forget")]
    ledger.checkpoint(hosts=Changes(done=first))
    assert (is_waiting(path, first), is_waiting(path, second)) == (False, True)
    ledger.checkpoint(hosts=Changes(done=second))
    assert ledger.host_requests() == []
    assert ask(path, "node-1", "confirm") > second, "a number never comes again"


def test_who_asks_does_not_stop_the_writer(ledger: Ledger, path: Path) -> None:
    for _ in range(20):
        ask(path, "node-1", "confirm")
        ledger.commit([call()])
    assert requests_and_cost(ledger)[0] == 20


def test_there_is_nothing_to_ask_where_no_ledger_is(path: Path) -> None:
    with pytest.raises(LedgerError, match="the exporter makes it when it starts"):
        ask(path, "node-1", "forget")
    assert not path.exists()
