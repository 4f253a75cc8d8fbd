"""The ledger counts every record once, whatever happens to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.catalogue.metric import OTHER
from fleetwatch.ledger import Ledger, LedgerError, file, forget, labels
from fleetwatch.ledger.query import Reader
from fleetwatch.records.llm import LlmCall
from support_ledger import BOOK, COST, requests_and_cost
from support_llm import call

DAY = 86400 * 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger(path, BOOK)
    yield opened
    opened.close()


def test_a_call_is_counted_with_its_price(ledger: Ledger) -> None:
    committed = ledger.commit([call()])
    assert (committed.calls, committed.duplicates) == (1, {})
    assert requests_and_cost(ledger) == (1, COST)


def test_a_resent_span_is_not_counted_again(ledger: Ledger) -> None:
    first = call()
    ledger.commit([first])
    assert ledger.commit([first, call()]).duplicates == {"resent": 1}
    assert requests_and_cost(ledger) == (2, 2 * COST)


def test_two_sightings_in_one_group_are_one_call(ledger: Ledger) -> None:
    first = call()
    assert ledger.commit([first, first]).duplicates == {"resent": 1}
    assert requests_and_cost(ledger) == (1, COST)


def test_the_same_response_seen_by_another_instrumentation_is_told_apart_from_a_resent_span(ledger: Ledger) -> None:
    ledger.commit([call(key=b"response-id-hash", span=b"a" * 24)])
    assert ledger.commit([call(key=b"response-id-hash", span=b"b" * 24)]).duplicates == {"other_instrumentation": 1}
    ledger.commit([call(key=b"response-id-hash", span=b"b" * 24)])
    assert ledger.duplicates() == {"other_instrumentation": 2}


def test_rows_after_the_checkpoint_are_folded_in_again_at_start(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.commit([call(), call()])
    ledger.take()
    ledger.checkpoint()
    ledger.commit([call(model="gpt-4o-mini")])
    ledger.close()
    again = Ledger(path, BOOK)
    taken = again.take()
    assert [labels.model for labels, _ in taken] == ["gpt-4o-mini"]
    assert requests_and_cost(again)[0] == 3
    again.close()


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.sampled_from(["commit", "resend", "take", "checkpoint", "restart"]), max_size=12))
def test_totals_equal_the_truth_after_any_order_of_steps(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    ledger = Ledger(path, BOOK)
    sent: list[LlmCall] = []
    for step in steps:
        if step == "commit":
            sent.append(call(agent=f"a{len(sent) % 3}"))
            ledger.commit(sent[-1:])
        elif step == "resend":
            ledger.commit(sent)
        elif step == "take":
            ledger.take()
        elif step == "checkpoint":
            ledger.take()
            ledger.checkpoint()
        else:
            ledger.close()
            ledger = Ledger(path, BOOK)
    assert requests_and_cost(ledger) == (len(sent), len(sent) * COST)
    with Reader(path) as reader:
        assert sum(item.cost for item in reader.spending(["model"])) == len(sent) * COST
        assert reader.verify() == []
    ledger.close()


def test_a_failed_commit_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path, BOOK)
    with pytest.raises(OverflowError):
        ledger.commit([call(agent="new"), call(duration=1 << 70)])
    assert requests_and_cost(ledger) == (0, 0)
    ledger.commit([call(agent="new")])
    assert [labels.agent for labels, _ in ledger.take()] == ["new"]
    ledger.close()


def test_a_full_disk_is_named_and_passes(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    # SQLite's own bound gives the same error code as a disk without space; tests/stack fills a real file system.
    ledger._db.execute("PRAGMA max_page_count = 40")
    many = [call(agent=f"{number:0200}") for number in range(2000)]
    with pytest.raises(LedgerError) as failure:
        ledger.commit(many)
    assert failure.value.reason == "disk_full"
    assert "free space" in str(failure.value)
    counted = requests_and_cost(ledger)[0]
    ledger._db.execute("PRAGMA max_page_count = 1000000")
    ledger.commit([call()])
    assert requests_and_cost(ledger)[0] == counted + 1
    ledger.close()


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(b"this is no database, but it is long enough to look like one" * 100)
    with pytest.raises(LedgerError) as failure:
        Ledger(path, BOOK)
    assert failure.value.reason == "damaged"
    assert str(path) in str(failure.value)
    assert "backup" in str(failure.value)


def test_damage_inside_a_good_file_is_found_at_start(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.commit([call() for _ in range(2000)])
    ledger.close()
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(os.urandom(20 * 4096))
    with pytest.raises(LedgerError) as failure:
        Ledger(path, BOOK)
    assert failure.value.reason == "damaged"


def test_a_second_writer_is_turned_away_with_the_first_ones_process_id(ledger: Ledger, path: Path) -> None:
    with pytest.raises(LedgerError, match=f"in use by process {os.getpid()}"):
        Ledger(path, BOOK)


class TestForgetting:
    """Single calls go when their time is over; sums stay."""

    @pytest.fixture
    def clock(self) -> list[int]:
        return [1_800_000_000 * 10**9]

    @pytest.fixture
    def ledger(self, path: Path, clock: list[int]) -> Iterator[Ledger]:
        opened = Ledger(path, BOOK, keep_days=10, clock=lambda: clock[0])
        yield opened
        opened.close()

    def checkpoint(self, ledger: Ledger) -> None:
        ledger.take()
        ledger.checkpoint()

    def kept(self, ledger: Ledger) -> int:
        return int(ledger.query("SELECT count(*) FROM llm_calls")[0][0])

    def test_old_calls_are_forgotten_and_their_sums_stay(self, path: Path, ledger: Ledger, clock: list[int]) -> None:
        ledger.commit([call(at=clock[0]), call(at=clock[0] - 500 * DAY)])
        for _ in range(12):
            self.checkpoint(ledger)
            ledger.prune()
            clock[0] += DAY
        ledger.commit([call(at=clock[0])])
        self.checkpoint(ledger)
        ledger.prune()
        assert self.kept(ledger) == 1
        assert requests_and_cost(ledger) == (3, 3 * COST)
        with Reader(path) as reader:
            assert sum(item.cost for item in reader.spending(["day"])) == 3 * COST
            assert reader.verify() == []

    def test_calls_that_the_checkpoint_does_not_know_yet_are_never_forgotten(
        self, ledger: Ledger, clock: list[int]
    ) -> None:
        ledger.commit([call(), call()])
        for _ in range(15):
            assert ledger.prune() == 0
            clock[0] += DAY

    def test_a_call_is_kept_for_as_long_since_it_came_however_old_it_is(self, ledger: Ledger, clock: list[int]) -> None:
        """Last year's trace, sent today and again a week later, counts once."""
        trace = [call(at=clock[0] - 365 * DAY) for _ in range(3)]
        ledger.commit(trace)
        for _ in range(8):
            self.checkpoint(ledger)
            ledger.prune()
            clock[0] += DAY
        assert ledger.commit(trace).duplicates == {"resent": 3}
        assert requests_and_cost(ledger) == (3, 3 * COST)

    def test_a_call_that_comes_when_all_others_are_forgotten_counts(
        self, path: Path, ledger: Ledger, clock: list[int]
    ) -> None:
        ledger.commit([call(at=clock[0]) for _ in range(10)])
        for _ in range(15):
            self.checkpoint(ledger)
            ledger.prune()
            clock[0] += DAY
        assert self.kept(ledger) == 1
        ledger.commit([call(at=clock[0])])
        with Reader(path) as reader:
            assert sum(item.requests for item in reader.spending(["model"])) == 11
        self.checkpoint(ledger)
        with Reader(path) as reader:
            assert sum(item.requests for item in reader.spending(["model"])) == 11
            assert reader.verify() == []

    def test_a_call_of_the_future_does_not_keep_others_from_being_forgotten(
        self, ledger: Ledger, clock: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(forget, "PRUNE_ROWS", 2)
        ledger.commit([call(at=clock[0] + 1000 * DAY) for _ in range(2)])
        ledger.commit([call(at=clock[0]) for _ in range(3)])
        for _ in range(15):
            self.checkpoint(ledger)
            while ledger.prune():
                pass
            clock[0] += DAY
        assert self.kept(ledger) == 1


def test_a_checkpoint_writes_only_what_has_changed(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    written: list[str] = []
    for agent in "abc":
        ledger.commit([call(agent=agent)])
        ledger.take()
        ledger._db.set_trace_callback(written.append)
        ledger.checkpoint()
        ledger._db.set_trace_callback(None)
    assert sum("INTO totals" in sql for sql in written) == 3
    ledger.close()


def test_durations_add_up_past_what_a_column_of_the_file_holds(path: Path) -> None:
    """Ten calls of 30 years each; ten thousand calls at once take eleven days to get there."""
    ledger = Ledger(path, BOOK)
    ledger.commit([call(duration=10**18, first_token=10**18) for _ in range(10)])
    ledger.take()
    ledger.checkpoint()
    ledger.close()
    ledger = Ledger(path, BOOK)
    [(_, total)] = ledger.totals()
    assert (total.duration_sum, total.first_token_sum) == (10**19, 10**19)
    ledger.close()


def test_names_made_up_without_end_take_memory_with_an_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents named after their sessions: past the bound their calls count for _other, none is lost."""
    monkeypatch.setattr(labels, "MOST_LABEL_SETS", 20)
    ledger = Ledger(path, BOOK)
    for number in range(100):
        ledger.commit([call(agent=f"session-{number}", model=f"m{number // 2}")])
    assert len(ledger._labels) <= 41
    assert requests_and_cost(ledger)[0] == 100
    counted = {item for item, _ in ledger.totals()}
    assert {item.agent for item in counted} == {*(f"session-{number}" for number in range(20)), OTHER}
    assert ("support" in {item.team for item in counted}, OTHER in {item.model for item in counted}) == (True, True)
    ledger.close()


def test_labels_that_only_a_duplicate_carried_leave_no_trace(ledger: Ledger, path: Path) -> None:
    """The order of label sets is that of their first counted call: bounds of labels let in the same after a restart."""
    first = call(agent="a")
    ledger.commit([first])
    ledger.commit([first._replace(agent="late"), call(agent="b")])
    ledger.commit([call(agent="late")])
    assert [labels.agent for labels, _ in ledger.take()] == ["a", "b", "late"]


def test_what_is_counted_is_told_without_asking_the_file(ledger: Ledger) -> None:
    """/metrics answers when the disk does not."""
    first = call()
    ledger.commit([first, first])
    ledger.take()
    ledger.checkpoint()
    ledger._db.close()
    assert ledger.duplicates() == {"resent": 1}
    assert ledger.checkpoint_at > 0


def test_a_disk_that_fails_even_the_way_back_is_the_ledger_s_trouble_and_not_the_sender_s(ledger: Ledger) -> None:
    """Any other error would be taken for a request that can never be stored, and its sender told to drop it."""
    ledger._db.close()
    with pytest.raises(LedgerError):
        ledger.commit([call()])


def test_duplicates_are_counted_over_a_restart(path: Path) -> None:
    first = call()
    for _ in range(2):
        ledger = Ledger(path, BOOK)
        ledger.commit([first, first])
        ledger.close()
    ledger = Ledger(path, BOOK)
    assert ledger.duplicates() == {"resent": 3}
    ledger.close()


def test_a_lock_file_that_cannot_be_written_stops_nobody(path: Path) -> None:
    """The disk may be full when the exporter starts: that is the database's to tell, and it passes."""
    path.with_name("ledger.db.lock").symlink_to("/dev/full")
    ledger = Ledger(path, BOOK)
    ledger.commit([call()])
    ledger.close()


def test_a_start_looks_for_damage_for_a_bounded_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path, BOOK)
    for _ in range(20):
        ledger.commit([call() for _ in range(2000)])
    ledger.close()
    monkeypatch.setattr(file, "CHECK_SECONDS", 0.0001)
    ledger = Ledger(path, BOOK)
    assert requests_and_cost(ledger)[0] == 40_000
    ledger.close()


def test_released_series_are_remembered(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.checkpoint([("llm_requests_total", ("a", 'odd "\n name'))])
    ledger.close()
    again = Ledger(path, BOOK)
    assert again.released() == {("llm_requests_total", ("a", 'odd "\n name'))}
    again.close()
