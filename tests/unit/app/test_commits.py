"""Threads write records on the loop, and know whether they are on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fleetwatch.app.commits import Commits
from fleetwatch.collect.here import CommitError
from fleetwatch.receive import BadRequest, Unavailable


def test_a_thread_waits_until_its_records_are_written() -> None:
    written: list[object] = []

    async def sink(records: Sequence[object]) -> None:
        await asyncio.sleep(0)
        written.extend(records)

    async def main() -> None:
        commits = Commits(sink)
        commits.open()
        await asyncio.to_thread(commits.commit, ["one", "two"])
        assert written == ["one", "two"]

    asyncio.run(main())


@pytest.mark.parametrize("error", [Unavailable(1.0, "the disk is full"), BadRequest("no such thing"), ValueError("x")])
def test_what_is_not_written_is_said(error: Exception) -> None:
    async def sink(_: Sequence[object]) -> None:
        raise error

    async def main() -> None:
        commits = Commits(sink)
        commits.open()
        with pytest.raises(CommitError, match=f"did not take 1 records: {error}"):
            await asyncio.to_thread(commits.commit, ["one"])

    asyncio.run(main())


def test_a_ledger_that_gives_no_answer_is_not_waited_for_for_ever() -> None:
    async def sink(_: Sequence[object]) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        commits = Commits(sink, patience=0.05)
        commits.open()
        with pytest.raises(CommitError, match=r"no answer within 0\.05 s"):
            await asyncio.to_thread(commits.commit, ["one"])

    asyncio.run(main())


def test_before_the_start_and_after_the_end_nothing_is_written() -> None:
    async def sink(_: Sequence[object]) -> None:
        raise AssertionError

    commits = Commits(sink)
    with pytest.raises(CommitError, match="has not started"):
        commits.commit(["one"])

    async def main() -> None:
        commits.open()

    asyncio.run(main())
    with pytest.raises(CommitError, match="is ending"):
        commits.commit(["one"])
