"""Acknowledgements of alerts: each counts once, whatever is told again and whoever starts again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fleetwatch.catalogue import alerting
from fleetwatch.catalogue.metric import Metric
from fleetwatch.ledger import Ledger, acknowledgements
from fleetwatch.records.alerting import Acknowledgement
from support_ledger import BOOK

SECOND = 10**9
DAY = 86_400 * SECOND
NOW = 1_795_297_000 * SECOND
FIRST = Acknowledgement("a", "PhaseFailed", "ticket", NOW + DAY, waited=90 * SECOND)


def opened(folder: Path, now: int = NOW) -> Ledger:
    return Ledger(folder / "ledger.db", BOOK, clock=lambda: now)


def taken(ledger: Ledger, metric: Metric) -> Counter[tuple[str, ...]]:
    """Since the last call, or since the file was opened all that it holds."""
    found: Counter[tuple[str, ...]] = Counter()
    for change in ledger.counts():
        if change.metric is metric:
            found[change.labels] += change.amount
    return found


def test_each_counts_once_over_restarts(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    assert ledger.commit([FIRST, FIRST]).kinds()["acknowledgement"] == 1
    ledger.close()
    for _ in range(2):
        ledger = opened(tmp_path)
        assert ledger.commit([FIRST]).acknowledgements == 0
        assert taken(ledger, alerting.ACKNOWLEDGEMENTS) == {("PhaseFailed", "ticket"): 1}
        ledger.close()


def test_how_long_it_took_is_told_of_those_that_waited(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.commit([FIRST, FIRST._replace(silence="b", waited=None), FIRST._replace(silence="c", severity="page")])
    (page, ticket) = sorted(
        (change for change in ledger.counts() if change.metric is alerting.ACKNOWLEDGE_TIME),
        key=lambda change: change.labels,
    )
    assert (ticket.labels, ticket.amount, sum(ticket.buckets or [])) == (("ticket",), 90 * SECOND, 1)
    # 90 s: above 30 and 60, at most 120.
    assert (page.buckets or [])[:4] == [0, 0, 1, 0]
    ledger.close()


def test_an_extension_is_remembered_and_not_counted(tmp_path: Path) -> None:
    """When the silence that it goes on from has left Alertmanager it looks like a new one."""
    ledger = opened(tmp_path)
    more = Acknowledgement("b", "PhaseFailed", "ticket", NOW + DAY, is_first=False, waited=None)
    assert ledger.commit([FIRST, more]).acknowledgements == 1
    assert ledger.commit([more._replace(is_first=True)]).acknowledgements == 0
    assert taken(ledger, alerting.ACKNOWLEDGEMENTS) == {("PhaseFailed", "ticket"): 1}
    ledger.close()


def test_ids_are_remembered_until_long_after_the_latest_end(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.commit([FIRST, FIRST._replace(silence="b")])
    ledger.commit([FIRST._replace(ends=NOW + 50 * DAY)])
    ledger.close()
    ledger = opened(tmp_path, NOW + 70 * DAY)
    ledger.prune()
    assert ledger.query("SELECT silence FROM acknowledgements") == [("a",)]
    assert taken(ledger, alerting.ACKNOWLEDGEMENTS) == {("PhaseFailed", "ticket"): 2}
    ledger.close()


def test_a_flood_of_ids_does_not_fill_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledgements, "MOST", 3)
    ledger = opened(tmp_path)
    flood = [FIRST._replace(silence=str(number), alertname=f"Name{number}") for number in range(10)]
    assert ledger.commit(flood).acknowledgements == 3
    assert ledger.query("SELECT count(*) FROM acknowledgements") == [(3,)]
    assert ledger.commit([flood[0]]).acknowledgements == 0
    ledger.close()


def test_a_commit_that_fails_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = opened(tmp_path)

    def fail() -> None:
        raise RuntimeError("as if the disk were full")

    with monkeypatch.context() as patched:
        patched.setattr(ledger._counts, "write", fail)
        with pytest.raises(RuntimeError):
            ledger.commit([FIRST])
    assert taken(ledger, alerting.ACKNOWLEDGEMENTS) == {}
    assert ledger.commit([FIRST]).acknowledgements == 1
    ledger.close()
