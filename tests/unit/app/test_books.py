"""Ledger, meter and budgets agree, over restarts and failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fleetwatch.app.books import Books
from fleetwatch.app.prices import price_book
from fleetwatch.catalogue import hosts
from fleetwatch.ledger.query import Reader
from fleetwatch.meter.text import exposition
from fleetwatch.records.agents import AgentBeat
from fleetwatch.settings import Settings, from_dict
from support import wait_for
from support_hosts import read, report_of
from support_llm import call
from support_tasks import run

COST = Decimal(100 * 2_500 + 10 * 10_000).scaleb(-9)  # US dollars; see test_store.py
BUDGET = {"name": "all", "limit_usd": "1", "period": "day"}
PRICES = price_book(Settings())

Open = Callable[..., Books]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """`opened(**settings)`: books of the same ledger; those from before are left as a crash leaves them."""
    made: list[Books] = []

    def crash() -> None:
        for books in made:
            books.writer.close()

    def start(**settings: Any) -> Books:
        crash()
        given: dict[str, Any] = {"web": {"scrape_interval": 0.000001}, "budgets": [BUDGET], **settings}
        made.append(Books(from_dict({"data_dir": tmp_path, **given}), PRICES))
        made[-1].writer.open()
        return made[-1]

    yield start
    crash()


def commit(books: Books, *records: Any) -> None:
    assert books.writer.ledger is not None
    books.writer.ledger.commit(records)


def shown(books: Books) -> dict[str, str]:
    books.refresh()
    text = exposition(books.meter, openmetrics=False)
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def llm(books: Books) -> dict[str, str]:
    """Series of the domain llm but for those that depend on the time of day."""
    return {
        name: value
        for name, value in shown(books).items()
        if name.startswith("llm_") and not name.startswith(("llm_budget_forecast", "llm_budget_time_to"))
    }


def value(books: Books, name: str) -> Decimal:
    """Sum of all series of the metric."""
    found = [Decimal(number) for series, number in shown(books).items() if series.split("{")[0] == name]
    return sum(found, Decimal(0))


def test_a_committed_call_shows_in_meter_and_budget_with_the_ledger_s_cost(opened: Open) -> None:
    books = opened()
    commit(books, call(), call())
    books.tick()
    books.checkpoint()
    books.show_budgets()
    assert value(books, "llm_requests_total") == 2
    assert value(books, "llm_cost_usd_total") == 2 * COST
    assert value(books, "llm_budget_charged_usd_total") == 2 * COST
    assert value(books, "llm_budget_spent_usd") == 2 * COST


def test_duplicates_are_shown_as_often_as_they_came(opened: Open) -> None:
    books, first = opened(), call()
    for _ in range(3):
        commit(books, first)
        books.tick()
    books.checkpoint()
    assert value(books, "llm_duplicate_calls_total") == 2
    assert value(opened(), "llm_duplicate_calls_total") == 2


def test_a_crash_before_the_checkpoint_loses_and_doubles_nothing(opened: Open) -> None:
    books = opened()
    commit(books, call())
    books.tick()
    books.checkpoint()
    commit(books, call())
    books.take()
    commit(books, call())
    books = opened()
    books.checkpoint()
    assert value(books, "llm_requests_total") == 3
    assert value(books, "llm_budget_charged_usd_total") == 3 * COST


@hypothesis_settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz")),
            st.sampled_from(["resend as another", "tick", "checkpoint", "crash", "budgets"]),
        ),
        max_size=25,
    )
)
def test_meter_budgets_and_ledger_agree_after_any_order_of_steps(
    steps: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Labels are bounded to fewer values than come: who is let in is the same after every restart."""
    settings = from_dict(
        {
            "data_dir": tmp_path_factory.mktemp("data"),
            "web": {"scrape_interval": 0.000001},
            "budgets": [BUDGET, {**BUDGET, "name": "x", "model": "x*"}],
            "labels": {"limits": {"agent": 2, "model": 2}, "max_series": 150},
        }
    )

    def start() -> Books:
        made = Books(settings, PRICES)
        made.writer.open()
        return made

    books, sent = start(), 0
    before: dict[str, Decimal] = {}
    last = call()
    for step in [*steps, "checkpoint"]:
        if step == "crash":
            books.writer.close()
            books = start()
        elif step == "resend as another":
            if sent:
                commit(books, last._replace(agent=f"late-{sent}"))
        elif isinstance(step, tuple):
            last = call(agent=step[0], model=step[1], outcome="error", error_type=step[0], reported_cost=1_000)
            sent += 1
            commit(books, last)
        else:
            {"tick": books.tick, "checkpoint": books.checkpoint, "budgets": books.show_budgets}[step]()
        now = {name: Decimal(number) for name, number in shown(books).items() if name.startswith("llm_")}
        fallen = {name for name in now if "_total" in name and now[name] < before.get(name, 0)}
        assert fallen == set(), "no counter falls, whatever happens"
        before = now
    assert value(books, "llm_requests_total") == sent
    assert value(books, "llm_cost_usd_total") * 10**6 == sent
    with Reader(settings.ledger_path) as reader:
        assert sum(item.requests for item in reader.spending(["model"])) == sent
        assert reader.verify() == []
    shows = llm(books)
    books.writer.close()
    books = start()
    books.show_budgets()
    assert {name: number for name, number in llm(books).items() if "budget" not in name} == {
        name: number for name, number in shows.items() if "budget" not in name
    }
    books.writer.close()


def test_a_budget_that_is_new_to_an_old_ledger_begins_with_what_was_spent(opened: Open) -> None:
    books = opened(budgets=[])
    commit(books, call())
    books.checkpoint()
    assert value(opened(), "llm_budget_charged_usd_total") == COST


def test_a_series_shows_zero_first_and_its_value_when_that_is_on_disk(opened: Open) -> None:
    books = opened(web={"scrape_interval": 3600})
    commit(books, call())
    books.tick()
    books.checkpoint()
    assert value(books, "llm_requests_total") == 0
    books = opened()
    books.checkpoint()
    assert value(books, "llm_requests_total") == 1
    assert value(opened(web={"scrape_interval": 3600}), "llm_requests_total") == 1, "it was shown before"


def test_a_disk_that_has_room_again_makes_it_ready_without_a_sender(opened: Open) -> None:
    """Who is not ready gets no data in a cluster: nobody would come to try."""
    books = opened()
    ledger = books.writer.ledger
    assert ledger is not None
    commit(books, *(call(agent=f"{number:0200}") for number in range(300)))
    [(pages,)] = ledger.query("PRAGMA page_count")
    ledger.query(f"PRAGMA max_page_count = {pages}")
    books.checkpoint()
    assert books.writer.trouble is not None
    assert books.writer.trouble.reason == "disk_full"
    ledger.query("PRAGMA max_page_count = 1000000")
    books.checkpoint()
    assert books.writer.trouble is None
    assert value(books, "llm_requests_total") == 300


def test_metrics_are_shown_while_the_ledger_cannot_be_opened(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database" * 1000)
    books = opened()
    for work in (books.tick, books.checkpoint, books.show_budgets):
        work()
    assert books.prune() is False
    assert shown(books)['fleetwatch_ledger_errors_total{reason="damaged"}'] == "1"
    (tmp_path / "ledger.db").unlink()
    books.writer._opened_last = float("-inf")
    books.tick()
    commit(books, call())
    books.checkpoint()
    assert value(books, "llm_requests_total") == 1


def test_metrics_are_shown_while_the_disk_does_not_answer(opened: Open) -> None:
    books = opened()
    commit(books, call())
    books.checkpoint()
    assert books.writer.ledger is not None
    books.writer.ledger._db.close()
    assert value(books, "llm_requests_total") == 1


def test_pruning_tells_whether_there_may_be_more(opened: Open) -> None:
    books = opened()
    commit(books, call())
    assert books.prune() is False


def test_closing_writes_what_waits_and_a_last_checkpoint(opened: Open, tmp_path: Path) -> None:
    books = opened()

    async def end() -> None:
        sending = asyncio.create_task(books.writer.sink([call()]))
        await asyncio.sleep(0)
        books.close()
        await sending

    asyncio.run(end())
    with Reader(tmp_path / "ledger.db") as reader:
        assert reader.verify() == []
        [(folded,)] = reader._db.execute("SELECT sum(requests) FROM totals")
    assert folded == 1


def test_a_full_roster_names_every_host_and_this_machine(opened: Open) -> None:
    roster = {"max_hosts": 2, "expected": ["node-3"]}
    books = opened(roster=roster, host={"name": "exporter-1"}, labels={"limits": {"host_name": 1}})
    for host in ("node-1", "node-2", "node-3"):
        books.hosts.take(read(report_of(host, [hosts.LOAD_1M(1)])))
    named = {line.partition('"')[2].partition('"')[0] for line in shown(books) if line.startswith("host_expected")}
    assert named == {"node-1", "node-2", "node-3", "exporter-1"}


def test_the_settings_say_which_sighting_counts(opened: Open) -> None:
    gateway = call(service="ops\x1fgateway\x1f1", agent="gateway", key=b"response-id-hash")
    books = opened(receive={"proxies": ["gateway"], "proxy_grace": "1h"})
    commit(books, gateway)
    commit(books, gateway._replace(span=b"c" * 24, agent="triage", service="shop\x1fbot\x1f1"))
    books.checkpoint()
    assert [series for series in llm(books) if "llm_requests_total" in series] == [
        'llm_requests_total{agent="triage",team="support",provider="openai",model="gpt-4o",operation="chat",outcome="ok"}'
    ]
    books = opened(receive={"proxies": ["gateway"], "proxy_grace": "1h", "count_at": "proxy"})
    commit(books, call(agent="waits"), gateway._replace(key=b"another-response"))
    books.take()
    assert {series.split('"')[1] for series in llm(books) if "llm_requests_total" in series} == {"triage", "gateway"}


def test_a_call_that_waited_shows_when_its_time_is_over(opened: Open) -> None:
    books = opened(receive={"proxy_grace": 0.01})
    commit(books, call(point="proxy"))

    def counted() -> bool:
        books.tick()
        return value(books, "fleetwatch_ledger_records_total") == 1

    wait_for(counted, 5, "the call")
    books.checkpoint()
    assert value(books, "llm_requests_total") == 1


def test_models_in_use_are_known_after_a_restart(opened: Open) -> None:
    books = opened()
    commit(books, call(), call(model="gpt-4o-mini", outcome="error"))
    books.take()
    books.checkpoint()
    before = [series for series in llm(books) if series.startswith("llm_model_info")]
    assert before == ['llm_model_info{provider="openai",model="gpt-4o",context_window="128000"}']
    assert [series for series in llm(opened()) if series.startswith("llm_model_info")] == before


def test_each_record_goes_where_it_belongs(opened: Open) -> None:
    books = opened()
    tasks, calls = [run("run", trace="t")], [call(temperature=0.5)]
    beat = AgentBeat("triage", "support", "1", "node-1", time.time_ns(), state="working")
    host = report_of("node-1", [hosts.UPTIME(5)])
    asyncio.run(books.sink([beat, *tasks, read(host), *calls]))
    books.checkpoint()
    series = shown(books)
    kinds = {name.split('"')[1]: number for name, number in series.items() if name.startswith("fleetwatch_ledger_rec")}
    assert kinds == dict.fromkeys(kinds, "0") | {"llm_call": "1", "agent_run": "1"}
    assert value(books, "agent_tasks_total") == 1
    assert series['agent_state{agent="triage",state="working"}'] == "1"
    assert float(series['host_state{host_name="node-1",state="reporting"}']) == 1
    assert series['llm_model_temperature{provider="openai",model="gpt-4o"}'] == "0.5"
