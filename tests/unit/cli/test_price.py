"""`fleetwatch price` as people and scripts call it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleetwatch.cli.price import command
from fleetwatch.settings import SettingsError

CALL = ["gpt-4o", "--input", "86", "--cache-read", "1920", "--output", "300", "--at", "2026-11-20"]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fleetwatch.yml of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEETWATCH_CONFIG", raising=False)


def price(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_a_call_is_priced_for_people() -> None:
    result = price(*CALL)
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line}
    assert rows["cache_read"] == ["cache_read", "1.25", "1920", "0.0024"]
    assert "priced: list price of openai/gpt-4o" in result.stdout
    assert "The call costs 0.005615 USD." in result.stdout
    assert "\x1b" not in result.stdout


def test_json_carries_money_as_text() -> None:
    data = json.loads(price(*CALL, "--format", "json").stdout)
    assert (data["usd"], data["nano_usd"], data["confidence"]) == ("0.005615", 5_615_000, "priced")
    assert data["prices"][0] == {
        "kind": "input",
        "usd_per_million": "2.5",
        "same_as": "",
        "tokens": 86,
        "usd": "0.000215",
    }


def test_csv_has_a_row_per_kind() -> None:
    rows = list(csv.DictReader(io.StringIO(price(*CALL, "--format", "csv").stdout)))
    assert [row["usd"] for row in rows if row["tokens"] != "0"] == ["0.000215", "0.0024", "0.003"]


def test_tier_batch_and_time_choose_the_price() -> None:
    arguments = ["gpt-5.4", "--input", "10000", "--output", "1000", "--format", "json", "--at", "2026-11-20T12:30"]
    assert json.loads(price(*arguments).stdout)["usd"] == "0.04"
    assert json.loads(price(*arguments, "--tier", "priority").stdout)["usd"] == "0.08"
    assert json.loads(price(*arguments, "--batch").stdout)["usd"] == "0.02"


def test_contract_prices_of_the_settings_count(tmp_path: Path) -> None:
    config = tmp_path / "mine.yml"
    config.write_text(
        "prices:\n  overrides:\n    - {model: gpt-4o, input: 1.10, output: 2}\n  models: {my-gpt: gpt-4o}\n"
    )
    result = price("my-gpt", "--provider", "azure.ai.openai", "--input", "1000000", "--config", str(config))
    assert "The call costs 1.1 USD." in result.stdout
    assert "contract" in result.stdout


def test_an_unknown_model_ends_with_1_and_names_that_look_alike() -> None:
    result = price("gtp-4o", "--provider", "openai")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "openai gtp-4o: no price in genai-prices" in result.stderr
    assert "openai/gpt-4o" in result.stderr
    assert json.loads(price("gtp-4o", "--format", "json").stdout)["confidence"] == "unpriced"


def test_a_hostile_name_cannot_paint_the_terminal() -> None:
    for arguments in (["\x1b[31mgpt\n[bold]<!channel>"], ["my\x1b[2Jname", "--config", "contract.yml"]):
        Path("contract.yml").write_text("prices: {overrides: [{model: 'my*', input: 1, output: 1}]}")
        result = price(*arguments)
        assert "\x1b" not in result.output
        assert len(result.output) > 10


def test_wrong_contract_prices_are_named(tmp_path: Path) -> None:
    config = tmp_path / "mine.yml"
    config.write_text("prices: {overrides: [{model: m}]}")
    with pytest.raises(SettingsError, match=r"prices.overrides\[0\]: expected either prices or discount_percent"):
        CliRunner().invoke(command, ["gpt-4o", "--config", str(config)], catch_exceptions=False)


def test_negative_counts_are_refused() -> None:
    result = price("gpt-4o", "--input", "-1")
    assert result.exit_code == 2
    assert "--input" in result.stderr
