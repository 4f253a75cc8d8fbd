"""`fleetwatch cost` shows what the ledger holds, exactly."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from fleetwatch.app.told import exact
from fleetwatch.records.llm import Tokens
from support_cli import ledger_of, run
from support_llm import call

DAY = 86400 * 10**9
NOON = 1_795_003_200 * 10**9  # 2026-11-18 12:00 UTC
COST = "0.000350000"  # of one call; see test_store.py


def test_spending_is_told_by_model_to_the_nano_dollar(tmp_path: Path) -> None:
    ledger_of(tmp_path, [call(), call(), call(model="gpt-4o-mini")])
    told = run(tmp_path, "cost")
    assert told.exit_code == 0, told.output
    rows = {line.split()[0]: line.split()[1:] for line in told.output.splitlines()[1:3]}
    assert rows["gpt-4o"][:5] == ["2", "200", "0", "20", "0.000700000"]
    assert rows["gpt-4o-mini"][4] == "0.000021000"
    assert "Total 0.000721000 USD" in told.output


def test_calls_since_the_last_checkpoint_count_too(tmp_path: Path) -> None:
    ledger_of(tmp_path, [call()], checkpoint=False)
    assert f"Total {COST} USD" in run(tmp_path, "cost").output


def test_programs_get_json_or_csv_without_a_note(tmp_path: Path) -> None:
    ledger_of(tmp_path, [call(agent="a,b"), call(agent='"c"')])
    [first, second] = json.loads(run(tmp_path, "cost", "--by", "agent", "--format", "json").output)
    assert {first["agent"], second["agent"]} == {"a,b", '"c"'}
    assert Decimal(first["cost_usd"]) == Decimal(COST)
    rows = list(csv.DictReader(io.StringIO(run(tmp_path, "cost", "--by", "agent", "--format", "csv").output)))
    assert {row["agent"] for row in rows} == {"a,b", '"c"'}


def test_groups_may_be_combined_and_are_sorted_by_cost(tmp_path: Path) -> None:
    calls = [call(at=NOON), call(at=NOON + DAY), call(at=NOON + DAY, team="legal"), call(at=NOON + DAY)]
    ledger_of(tmp_path, calls)
    rows = json.loads(run(tmp_path, "cost", "--by", "day", "--by", "team", "--format", "json").output)
    assert [(row["day"], row["team"], row["requests"]) for row in rows] == [
        ("2026-11-19", "support", 2),
        ("2026-11-18", "support", 1),
        ("2026-11-19", "legal", 1),
    ]


@pytest.mark.parametrize(
    ("times", "requests"),
    [
        (["--since", "2026-11-19"], 1),
        (["--until", "2026-11-18T12:00"], 1),
        (["--since", "2026-11-18T12:00", "--until", "2026-11-18T12:15"], 1),
        (["--since", "2026-11-18T13:00+01:00", "--until", "2026-11-19T00:00Z"], 1),
        (["--since", "30m"], 0),
    ],
)
def test_times_choose_whole_quarters_of_an_hour(tmp_path: Path, times: list[str], requests: int) -> None:
    ledger_of(tmp_path, [call(at=NOON - DAY), call(at=NOON), call(at=NOON + DAY)])
    rows = json.loads(run(tmp_path, "cost", *times, "--format", "json").output)
    assert sum(row["requests"] for row in rows) == requests


def test_calls_without_a_known_price_are_told_and_not_hidden(tmp_path: Path) -> None:
    ledger_of(tmp_path, [call(), call(model="house-model", provider="ours")])
    told = run(tmp_path, "cost").output
    assert f"Total {COST} USD; 1 requests have no known price" in " ".join(told.split())


def test_every_kind_of_token_is_in_a_column(tmp_path: Path) -> None:
    tokens = Tokens(input=1, cache_read=2, cache_write=4, output=8, reasoning=16, audio_in=32, audio_out=64, image=128)
    ledger_of(tmp_path, [call(tokens=tokens)])
    [row] = json.loads(run(tmp_path, "cost", "--format", "json").output)
    assert (row["input"], row["cached"], row["output"]) == (1 + 4 + 32 + 128, 2, 8 + 16 + 64)


def test_a_name_that_commands_the_terminal_is_shown_harmless(tmp_path: Path) -> None:
    ledger_of(tmp_path, [call(agent="\x1b[31mred\x1b[0m [bold]x[/bold]\r\nnext")])
    told = run(tmp_path, "cost", "--by", "agent").output
    assert "\x1b" not in told
    assert "[bold]x[/bold]" in told


def test_a_wrong_time_is_a_wrong_use(tmp_path: Path) -> None:
    told = run(tmp_path, "cost", "--since", "yesterday")
    assert told.exit_code == 2
    assert 'an age such as 24h, got "yesterday"' in told.output


def test_a_ledger_that_is_not_there_yet_is_told_in_a_line(tmp_path: Path) -> None:
    told = run(tmp_path, "cost")
    assert told.exit_code == 1
    assert "the exporter makes it when it starts" in told.output


def test_a_damaged_ledger_is_told_in_a_line(tmp_path: Path) -> None:
    path = ledger_of(tmp_path, [call(agent=f"{number:0100}") for number in range(2000)])
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 40 * 4096)
    for verb in (["cost"], ["ledger", "verify"], ["ledger", "backup", str(tmp_path / "copy.db")]):
        told = run(tmp_path, *verb)
        assert (told.exit_code, type(told.exception)) == (1, SystemExit), verb
        assert told.output.strip(), verb


def test_dollars_have_all_their_digits() -> None:
    assert exact(1) == "0.000000001"
    assert exact(123_456_789_012_345_678_901) == "123456789012.345678901"
