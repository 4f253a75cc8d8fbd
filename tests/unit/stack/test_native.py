"""What the demo changes about the programs that are started."""

from __future__ import annotations

from pathlib import Path

from fleetwatch.demo.pipeline import LONG_PROMPTS, NAME, TOKEN_RATE
from fleetwatch.settings import from_dict, load
from fleetwatch.stack.native import with_demo_settings
from fleetwatch.stack.supervisor import Service

PLAN = [Service(name, ["x"], {"A": "1"}, "", "", Path("log")) for name in ("exporter", "prometheus")]


def test_the_demo_s_settings_are_good_ones_of_the_exporter() -> None:
    exporter, other = with_demo_settings(PLAN, from_dict({}))
    assert other == PLAN[1]
    made = load(None, exporter.env)
    assert {(item.name, item.period, item.team) for item in made.budgets} == {
        ("all teams", "month", None),
        ("support", "day", "support"),
        ("legal", "day", "legal"),
    }
    assert {(item.name, item.kind) for item in made.pipelines.signals} == {
        (LONG_PROMPTS, "counter"),
        (TOKEN_RATE, "gauge"),
    }
    assert [item.pipeline for item in made.pipelines.expected] == [NAME]
    assert len(made.pipelines.machines) == 1


def test_settings_of_one_s_own_stay_alone() -> None:
    own = from_dict({"budgets": [{"name": "mine", "limit_usd": "5"}], "pipelines": {"signals": [{"name": "mine"}]}})
    exporter, _ = with_demo_settings(PLAN, own)
    assert exporter.env.keys() - {"A"} == {"FLEETWATCH_PIPELINES__EXPECTED", "FLEETWATCH_PIPELINES__MACHINES"}
