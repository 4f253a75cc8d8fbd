"""The only way into the ledger: what is acknowledged is on disk, what cannot be is told so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.app import writer as writer_module
from fleetwatch.app.writer import Writer
from fleetwatch.ledger import Ledger, LedgerError
from fleetwatch.ledger.store import Committed
from fleetwatch.receive import BadRequest, Throttled, Unavailable
from fleetwatch.reckon.price import PriceBook
from support_llm import call

BOOK = PriceBook()


class Desk:
    """A writer of a real ledger, and what it told about itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commits: list[Committed] = []
        self.failures: list[str] = []
        self.opened: list[Ledger] = []
        self.writer = Writer(
            lambda: Ledger(self.path, BOOK),
            opened=self.opened.append,
            committed=lambda committed, _: self.commits.append(committed),
            failed=self.failures.append,
        )

    @property
    def ledger(self) -> Ledger:
        assert self.writer.ledger is not None
        return self.writer.ledger

    def rows(self) -> int:
        return int(self.ledger.query("SELECT count(*) FROM llm_calls")[0][0])

    def fill_disk(self) -> None:
        """SQLite's own bound gives the same error code as a disk without space."""
        self.ledger._db.execute("PRAGMA max_page_count = 1")

    def free_disk(self) -> None:
        self.ledger._db.execute("PRAGMA max_page_count = 1000000")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "ledger.db")
    made.writer.open()
    yield made
    made.writer.close()


def answers(*sending: Any) -> list[BaseException | None]:
    async def gather() -> list[BaseException | None]:
        return list(await asyncio.gather(*sending, return_exceptions=True))

    return asyncio.run(gather())


def big() -> Any:
    """More records than fit on a full disk's last page."""
    return [call() for _ in range(2000)]


def test_requests_that_come_together_share_one_commit(desk: Desk) -> None:
    assert answers(*(desk.writer.sink([call(), call()]) for _ in range(10))) == [None] * 10
    assert [committed.calls for committed in desk.commits] == [20]
    assert desk.writer.pending == 0


def test_a_large_wait_is_written_in_groups(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "GROUP_RECORDS", 5)
    assert answers(*(desk.writer.sink([call() for _ in range(2)]) for _ in range(5))) == [None] * 5
    assert [committed.calls for committed in desk.commits] == [4, 4, 2]


def test_a_request_without_records_needs_no_commit(desk: Desk) -> None:
    assert answers(desk.writer.sink([])) == [None]
    assert desk.commits == []


def test_past_the_bound_senders_are_told_to_slow_down(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "PENDING_RECORDS", 1)
    [first, second] = answers(desk.writer.sink([call(), call()]), desk.writer.sink([call()]))
    assert first is None
    assert isinstance(second, Throttled)


def test_a_sender_that_leaves_while_it_waits_takes_nothing_with_it(desk: Desk) -> None:
    async def leave() -> None:
        leaving = asyncio.create_task(desk.writer.sink([call()]))
        staying = asyncio.create_task(desk.writer.sink([call()]))
        await asyncio.sleep(0)
        leaving.cancel()
        await staying
        with pytest.raises(asyncio.CancelledError):
            await leaving

    asyncio.run(leave())
    assert desk.rows() == 2


def test_one_request_that_cannot_be_stored_does_not_hurt_the_others(desk: Desk) -> None:
    good, bad = call(), call(duration=1 << 70)
    results = answers(desk.writer.sink([good]), desk.writer.sink([bad]), desk.writer.sink([call()]))
    assert [type(result) for result in results] == [type(None), BadRequest, type(None)]
    assert desk.rows() == 2


def test_on_a_full_disk_senders_are_told_to_come_again_until_there_is_room(desk: Desk) -> None:
    desk.fill_disk()
    [told] = answers(desk.writer.sink(big()))
    assert isinstance(told, Unavailable)
    assert "disk full" in str(told)
    assert (desk.failures, str(desk.writer.trouble).count("free space")) == (["disk_full"], 1)
    desk.free_disk()
    assert answers(desk.writer.sink(big())) == [None]
    assert desk.writer.trouble is None


def test_a_full_disk_that_is_met_singly_is_told_too(desk: Desk) -> None:
    """A request that cannot be stored makes the writer try one by one; the disk may be full by then."""
    desk.fill_disk()
    results = answers(desk.writer.sink([call(duration=1 << 70)]), desk.writer.sink(big()))
    assert [type(result) for result in results] == [BadRequest, Unavailable]


def test_a_ledger_that_another_process_holds_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Ledger(tmp_path / "ledger.db", BOOK)
    desk = Desk(tmp_path / "ledger.db")
    desk.writer.open()
    [told] = answers(desk.writer.sink([call()]))
    assert isinstance(told, Unavailable)
    assert set(desk.failures) == {"locked"}
    other.close()
    desk.writer.tick()
    assert desk.writer.ledger is None, "not before its time"
    monkeypatch.setattr(writer_module, "REOPEN_AFTER", 0.0)
    desk.writer.tick()
    assert answers(desk.writer.sink([call()])) == [None]
    assert len(desk.opened) == 1
    desk.writer.close()


def test_a_ledger_that_cannot_be_read_after_opening_is_closed_and_tried_again(desk: Desk) -> None:
    desk.writer.close()

    def unreadable(ledger: Ledger) -> None:
        ledger.query("SELECT no_such_thing")

    desk.writer._opened = unreadable
    desk.writer.open()
    assert (desk.writer.ledger, desk.failures) == (None, ["other"])
    desk.writer._opened = desk.opened.append
    desk.writer.open()
    assert desk.writer.trouble is None


def test_what_waits_at_the_end_is_written(desk: Desk) -> None:
    async def end() -> None:
        waiting = [asyncio.create_task(desk.writer.sink([call()])) for _ in range(3)]
        await asyncio.sleep(0)
        desk.writer.finish()
        await asyncio.gather(*waiting)

    asyncio.run(end())
    assert desk.rows() == 3


def test_who_comes_after_the_end_is_told_to_come_again_and_not_that_the_data_is_bad(desk: Desk) -> None:
    """A sender throws away what was answered with 400."""
    desk.writer.close()
    [told] = answers(desk.writer.sink([call()]))
    assert isinstance(told, Unavailable)


def test_a_failure_is_logged_once_and_not_for_every_request(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        desk.writer.failing(LedgerError(desk.path, "disk_full", "no space"))
    assert len(caplog.records) == 1
    assert len(desk.failures) == 3


def test_a_settling_that_fails_is_told(desk: Desk) -> None:
    desk.ledger._db.close()
    desk.writer.tick()
    assert desk.failures == ["other"]


def test_what_the_exporter_finds_out_by_itself_is_written_at_once_or_not_at_all(desk: Desk) -> None:
    assert desk.writer.judge([call()])
    assert [committed.calls for committed in desk.commits] == [1]
    desk.fill_disk()
    assert not desk.writer.judge(big())
    assert desk.failures == ["disk_full"]
    assert desk.rows() == 1
    desk.free_disk()
    assert desk.writer.judge(big())
    assert (desk.rows(), desk.writer.trouble) == (2001, None)
    desk.writer.close()
    assert not desk.writer.judge([call()])
