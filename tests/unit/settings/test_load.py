"""Wrong settings name the place and what was expected; right ones mean what they say."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.settings import Settings, SettingsError, from_dict, load
from fleetwatch.settings.model import Collect


def loaded(tmp_path: Path, text: str, **environ: str) -> Settings:
    file = tmp_path / "fleetwatch.yml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def message(tmp_path: Path, text: str, **environ: str) -> str:
    with pytest.raises(SettingsError) as error:
        loaded(tmp_path, text, **environ)
    return str(error.value).removeprefix(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web:\n  lissten: x\n", "fleetwatch.yml:2: web.lissten: unknown key; expected one of listen, scrape_interval"),
        (
            "budgets:\n  - name: a\n    limit_usd: 1k\n",
            'fleetwatch.yml:3: budgets[0].limit_usd: expected a number of US dollars, got "1k"',
        ),
        ("budgets:\n  - name: a\n", "fleetwatch.yml:2: budgets[0].limit_usd: expected a value, got none"),
        (
            "budgets: [{name: a, limit_usd: 1, timezone: Mars/Base}]",
            'fleetwatch.yml:1: budgets[0].timezone: expected a time zone such as Europe/Berlin or UTC, got "Mars/Base"',
        ),
        (
            "budgets:\n- {name: a, limit_usd: 1}\n- {name: a, limit_usd: 2}\n",
            'fleetwatch.yml:3: budgets[1].name: expected a name of its own, got "a" again',
        ),
        (
            "receive:\n  timeout: 5x\n",
            'fleetwatch.yml:2: receive.timeout: expected a duration such as 15s, 2m or 1h, got "5x"',
        ),
        (
            "web:\n  listen: nowhere\n",
            'fleetwatch.yml:2: web.listen: expected HOST:PORT, for example 127.0.0.1:9464, got "nowhere"',
        ),
        (
            "collect: {disks: {interval: 5x}}",
            'fleetwatch.yml:1: collect.disks.interval: expected a duration such as 15s, 2m or 1h, got "5x"',
        ),
        (
            "receive:\n  max_body_bytes: 0\n",
            'fleetwatch.yml:2: receive.max_body_bytes: expected a number greater than 0, got "0"',
        ),
        (
            "collect: {disks: {jitter: 0.6}}",
            'fleetwatch.yml:1: collect.disks.jitter: expected a number of at most 0.5, got "0.6"',
        ),
        (
            "receive: {usage_metrics: on}",
            "fleetwatch.yml:1: receive.usage_metrics: expected 'auto', 'always' or 'never', got \"true\"",
        ),
        ("labels: {limits: {1: 2}}", 'fleetwatch.yml:1: labels.limits[1]: expected a name as key, got "1"'),
        ("roster: {expected: a}", 'fleetwatch.yml:1: roster.expected: expected a valid list, got "a"'),
        ("prices: {models: [a]}", "fleetwatch.yml:1: prices.models: expected a map, got a list"),
        ("data_dir:\n", "fleetwatch.yml:1: data_dir: expected a path, got none"),
        ("web:\n  - a\n  b: c\n", "fleetwatch.yml:3: expected YAML: expected <block end>, but found '?'"),
        ("just text", "fleetwatch.yml:1: expected sections such as `web:`, got str"),
    ],
)
def test_a_mistake_is_one_line_with_file_line_and_what_was_expected(tmp_path: Path, text: str, expected: str) -> None:
    assert message(tmp_path, text) == expected


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    told = message(
        tmp_path,
        "web: {lissten: x}\nreceive: {timeout: 5x}\nbudgets: [{name: a}, {limit_usd: x}]\n",
        FLEETWATCH_HOST__ENABLED="maybe",
    )
    assert sorted(line.split(": ")[1] for line in told.splitlines()) == [
        "budgets[0].limit_usd",
        "budgets[1].limit_usd",
        "budgets[1].name",
        "host.enabled",
        "receive.timeout",
        "web.lissten",
    ]


def test_the_environment_wins_and_is_named_when_wrong(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "web: {listen: '127.0.0.1:1'}", FLEETWATCH_WEB__LISTEN="127.0.0.1:0")
    assert settings.web.listen == "127.0.0.1:0"
    told = message(tmp_path, "", FLEETWATCH_RECEIVE__HTTP__LISTEN="here")
    assert told.startswith("FLEETWATCH_RECEIVE__HTTP__LISTEN: receive.http.listen: expected HOST:PORT")


def test_a_mistake_within_a_variable_s_list_names_the_variable(tmp_path: Path) -> None:
    told = message(tmp_path, "budgets: [{name: a, limit_usd: 1}]", FLEETWATCH_BUDGETS="[{name: b}]")
    assert told == "FLEETWATCH_BUDGETS: budgets[0].limit_usd: expected a value, got none"


def test_lists_may_come_from_the_environment(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "", FLEETWATCH_BUDGETS="[{name: all, limit_usd: 12.10}]")
    assert settings.budgets[0].limit_usd == Decimal("12.10")


def test_variables_of_other_programs_are_no_settings(tmp_path: Path) -> None:
    assert loaded(tmp_path, "", FLEETWATCH_TOOLS="/x", FLEETWATCH_COLLECTOR_HTTP="y") == Settings()


@given(cents=st.integers(min_value=0, max_value=10**12))
def test_money_is_read_as_it_is_written(cents: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    written = f"{cents // 100}.{cents % 100:02}"
    settings = loaded(tmp_path_factory.mktemp("s"), f"budgets: [{{name: a, limit_usd: {written}}}]")
    assert settings.budgets[0].limit_usd == Decimal(written)


def test_durations_have_units(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "receive: {timeout: 2m, usage_metrics_grace: 1.5s}\ncollect: {host: {interval: 1h}}")
    assert (settings.receive.timeout, settings.receive.usage_metrics_grace) == (120, 1.5)
    assert settings.collect["host"].interval == 3600


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file or directory"):
        load(tmp_path / "missing.yml", {})


def test_the_ledger_s_url_is_checked_at_once(tmp_path: Path) -> None:
    assert message(tmp_path, "ledger: {url: postgres://x}") == (
        'ledger.url: expected sqlite:///PATH, got "postgres://x"'
    )
    assert loaded(tmp_path, "ledger: {url: 'sqlite:////var/x.db'}").ledger_path == Path("/var/x.db")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "prices: {overrides: [{model: a, valid_from: 2026-02-30}]}",
            "fleetwatch.yml:1: prices.overrides[0].valid_from: expected a valid date",
        ),
        (
            "web: {listen: '127.0.0.1:1'}\nweb: {listen: '127.0.0.1:2'}\n",
            "fleetwatch.yml:2: web: expected once, got it again",
        ),
        (
            "web:\n  listen: '127.0.0.1:1'\n  listen: '127.0.0.1:2'\n",
            "fleetwatch.yml:3: web.listen: expected once, got it again",
        ),
        ("web: &a\n  listen: *a\n", "fleetwatch.yml:2: web.listen: expected a valid string, got a map"),
        ("receive: {timeout: .inf}", "fleetwatch.yml:1: receive.timeout: expected a finite number"),
        ("receive: {timeout: .nan}", "fleetwatch.yml:1: receive.timeout: expected"),
        ("web: [1, 2]", "fleetwatch.yml:1: web: expected"),
        ("web: {1: a}", "fleetwatch.yml:1: web[1]: expected"),
        ("web: {listen: !!python/object:os.system {}}", "fleetwatch.yml:1: expected YAML"),
        ("web: {listen: 'a\n\n  b'}", "fleetwatch.yml:1: web.listen: expected HOST:PORT"),
        (f"web: {{listen: {'x' * 10_000}}}", "fleetwatch.yml:1: web.listen: expected HOST:PORT"),
        (f"web: {{listen: {'9' * 10_000}}}", "fleetwatch.yml: expected YAML"),
        ("web: {listen: \x00}", "fleetwatch.yml: expected YAML"),
        ("[" * 5000, "fleetwatch.yml: expected YAML"),
        (f"{'x' * 1000}: 1", "fleetwatch.yml:1: xxx"),
        ('"a\\nb": 1', "fleetwatch.yml:1: a b: unknown key"),
        ("ledger: {keep_days: 1.0e+999999999}", "fleetwatch.yml:1: ledger.keep_days: expected a finite number"),
        (
            "budgets: [{name: a, limit_usd: 1.0e+999999999}]",
            "fleetwatch.yml:1: budgets[0].limit_usd: expected a number",
        ),
        ("budgets: {a: 1}", "fleetwatch.yml:1: budgets: expected a valid list, got a map"),
    ],
)
def test_odd_yaml_is_one_short_line_too(tmp_path: Path, text: str, expected: str) -> None:
    told = message(tmp_path, text)
    assert told.startswith(expected)
    assert (len(told.splitlines()), len(told) < 400) == (1, True)


def test_aliases_that_multiply_are_read_in_a_moment(tmp_path: Path) -> None:
    """Ten levels of ten aliases each would be ten billion values."""
    levels = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
    assert "a10: unknown key" in message(tmp_path, "\n".join(levels))


def test_a_section_with_every_line_commented_out_keeps_its_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, "web:\n  # listen: 127.0.0.1:1\nreceive:\n  http:\n") == Settings()
    assert loaded(tmp_path, "budgets:\ncollect:\nroster:\n  expected:\nlabels: {limits: }\n") == Settings()
    assert loaded(tmp_path, "collect:\n  disks:\n").collect["disks"] == Collect()
    assert loaded(tmp_path, "web:\n", FLEETWATCH_WEB__LISTEN="127.0.0.1:7").web.listen == "127.0.0.1:7"


def test_a_merge_key_is_no_repetition(tmp_path: Path) -> None:
    text = "budgets:\n- &all {name: a, limit_usd: 1}\n- {<<: *all, name: b}\n"
    assert [budget.name for budget in loaded(tmp_path, text).budgets] == ["a", "b"]


@given(text=st.text(alphabet="abc:{}[]&*-!|>'\"\n 019.#%@`?,", max_size=60))
def test_whatever_a_file_holds_it_is_settings_or_a_told_mistake(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with contextlib.suppress(SettingsError):
        loaded(tmp_path_factory.mktemp("s"), text)


def test_sections_of_a_program_are_checked_like_a_file_s(tmp_path: Path) -> None:
    given = {"data_dir": tmp_path, "budgets": [{"name": "a", "limit_usd": "1.10"}], "web": {"scrape_interval": 0.001}}
    settings = from_dict(given)
    assert (settings.data_dir, settings.budgets[0].limit_usd) == (tmp_path, Decimal("1.10"))
    with pytest.raises(SettingsError) as error:
        from_dict({"web": {"scrape_interval": "5x"}, "receive": 5})
    assert str(error.value) == (
        'web.scrape_interval: expected a duration such as 15s, 2m or 1h, got "5x"\n'
        'receive: expected a map of settings, got "5"'
    )


def test_settings_stay_as_they_were_read() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        Settings().web.listen = "127.0.0.1:1"  # type: ignore[misc] # that is the point


def test_data_lies_where_the_desktop_s_standard_puts_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Settings().data_dir == tmp_path / "fleetwatch"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings().data_dir == tmp_path / ".local" / "share" / "fleetwatch"


def test_a_sidecar_without_a_file_loads_neither_yaml_nor_time_zones(tmp_path: Path) -> None:
    """Each would cost a tenth of the start of a program that has 0.15 s for it."""
    code = (
        "import sys\nfrom fleetwatch.settings import load\n"
        "load(None, {'FLEETWATCH_HOST__NAME': 'a'})\n"
        "print(sorted({'yaml', 'zoneinfo', 'pydantic', 'dataclasses', 'json'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
