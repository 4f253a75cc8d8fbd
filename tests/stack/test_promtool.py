"""Configuration and rules before the real promtool and Prometheus, oldest and newest supported version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetwatch.places import PROJECT
from support import free_port, wait_for
from support_alertmanager import Program, programs
from support_alerts import ALERTS, RULES
from support_foreign_metrics import FOREIGN
from support_prometheus import Prometheus, prometheus_program, running_prometheus
from support_promtool import promtool
from support_stack import get, running

pytestmark = pytest.mark.stack

PROMETHEUS = PROJECT / "prometheus"


@pytest.fixture(params=["2.42", "3."])
def generation(request: pytest.FixtureRequest) -> str:
    """The oldest and the newest supported."""
    return str(request.param)


def test_prometheus_takes_the_configuration(generation: str) -> None:
    done = promtool(generation, "check", "config", "prometheus.yml", cwd=PROMETHEUS)
    assert done.returncode == 0, done.stdout + done.stderr
    # Both folders of rule files were found and not only the configuration read.
    assert all(f"{file.parent.name}/{file.name}" in done.stdout for file in (*RULES, *ALERTS))


def test_prometheus_takes_the_rules(generation: str) -> None:
    done = promtool(generation, "check", "rules", "--lint-fatal", *(str(file) for file in (*RULES, *ALERTS)))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_raised_threshold_keeps_an_alert_quiet(generation: str, tmp_path: Path) -> None:
    """A user changes one number in the first group and no expression."""
    rules = (PROMETHEUS / "rules" / "exporter.yml").read_text()
    number = '"exporter:threshold:clock_skew_seconds", expr: vector(30)'
    assert number in rules
    (tmp_path / "rules.yml").write_text(rules.replace(number, number.replace("30", "150")))
    (tmp_path / "alerts.yml").write_text((PROMETHEUS / "alerts" / "exporter.yml").read_text())
    test = {
        "rule_files": ["rules.yml", "alerts.yml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": "fleetwatch_receiver_clock_skew_seconds", "values": "120x80"}],
                "alert_rule_test": [{"alertname": "ClockSkew", "eval_time": "15m", "exp_alerts": []}],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    assert promtool(generation, "test", "rules", "test.yml", cwd=tmp_path).returncode == 0
    (tmp_path / "rules.yml").write_text(rules)
    shipped = promtool(generation, "test", "rules", "test.yml", cwd=tmp_path)
    assert "alertname: ClockSkew" in shipped.stdout + shipped.stderr


@pytest.fixture
def server(generation: str, tmp_path: Path) -> Iterator[Prometheus]:
    """A real Prometheus with our rules, all of them looked at every second, that scrapes itself."""
    rules = []
    for file in (*RULES, *ALERTS):
        copy = tmp_path / file.parent.name / file.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(re.sub(r"(?m)^    interval: .*$", "", file.read_text(encoding="utf-8")), encoding="utf-8")
        rules.append(copy)
    nobody, own = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    program = prometheus_program(generation)
    with running_prometheus(program, tmp_path / "server", {"own": own}, rules=rules, alertmanager=nobody) as prometheus:
        yield prometheus


def test_every_rule_is_evaluated_by_a_real_prometheus(server: Prometheus) -> None:
    groups = [group for file in (*RULES, *ALERTS) for group in yaml.safe_load(file.read_text())["groups"]]

    def evaluated() -> list[dict[str, Any]]:
        rules = [rule for group in server.api("rules")["groups"] for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else []

    rules = wait_for(evaluated, 60, "the first evaluation of all rules", interval=0.5)
    assert len(rules) == sum(len(group["rules"]) for group in groups)
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] == "err"] == []


def test_prometheus_has_the_metrics_that_alerts_expect_of_it(server: Prometheus) -> None:
    for name in (name for name in FOREIGN if name.startswith("prometheus_")):
        line = wait_for(partial(sample, f"{server.url}/metrics", name), 30, name)
        assert [label for label in FOREIGN[name].labels if f'{label}="' not in line] == [], line
    for name in ("up", "scrape_samples_scraped", "scrape_duration_seconds", "ALERTS"):
        wait_for(partial(server.query, name), 30, name)


@pytest.mark.parametrize("program", programs(), ids=lambda program: str(program.version))
def test_alertmanager_has_the_metrics_that_alerts_expect_of_it(program: Program, tmp_path: Path) -> None:
    if program.problem():
        pytest.skip(program.problem())
    (tmp_path / "am.yml").write_text("{route: {receiver: none}, receivers: [{name: none}]}")
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={tmp_path}/am.yml", f"--storage.path={tmp_path}/data", "--cluster.listen-address="]
    with running([program.alertmanager, *options, f"--web.listen-address={address}"], tmp_path / "log"):
        for name in (name for name in FOREIGN if name.startswith("alertmanager_")):
            line = wait_for(partial(sample, f"http://{address}/metrics", name), 30, name)
            assert [label for label in FOREIGN[name].labels if f'{label}="' not in line] == [], line


def sample(url: str, name: str) -> str:
    """The first sample of a metric in what `url` exposes; empty when there is none."""
    return next((line for line in get(url)[1].splitlines() if re.match(rf"{name}[ {{]", line)), "")
