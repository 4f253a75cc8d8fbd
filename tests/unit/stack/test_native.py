"""What the demo changes about the programs that are started."""

from __future__ import annotations

from pathlib import Path

from fleetwatch.settings import from_dict, load
from fleetwatch.stack.native import with_demo_budgets
from fleetwatch.stack.supervisor import Service

PLAN = [Service(name, ["x"], {"A": "1"}, "", "", Path("log")) for name in ("exporter", "prometheus")]


def test_the_demo_s_budgets_are_good_settings_of_the_exporter() -> None:
    exporter, other = with_demo_budgets(PLAN, from_dict({}))
    assert other == PLAN[1]
    budgets = load(None, exporter.env).budgets
    assert {(item.name, item.period, item.team) for item in budgets} == {
        ("all teams", "month", None),
        ("support", "day", "support"),
        ("legal", "day", "legal"),
    }


def test_budgets_of_one_s_own_stay_alone() -> None:
    own = from_dict({"budgets": [{"name": "mine", "limit_usd": "5"}]})
    assert with_demo_budgets(PLAN, own) == PLAN
