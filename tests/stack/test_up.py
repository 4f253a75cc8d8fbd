"""`fleetwatch up`, `status` and `down` with the real programs."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import os
import re
import signal
import socket
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support import wait_for
from support_prometheus import prometheus_program
from support_stack import get, program
from support_up import Up

pytestmark = pytest.mark.stack


def without_programs(tmp_path: Path) -> dict[str, str]:
    """A machine that has none of the programs and no apt."""
    return {"PATH": str(tmp_path / "nothing"), "FLEETWATCH_TOOLS": str(tmp_path / "nothing")}


def query(prometheus: str, expression: str) -> list[Any]:
    status, body = get(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    assert status == 200, body
    found: list[Any] = json.loads(body)["data"]["result"]
    return found


@pytest.fixture(params=["3.", "2.42"], scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Everything this machine has up, with either generation of Prometheus; it stays up for several tests."""
    chosen = prometheus_program(request.param)
    tools = os.environ.get("FLEETWATCH_TOOLS")
    environ = {}
    if not tools or not chosen.startswith(tools):  # old programs: leave the new ones out
        environ = {"PATH": f"{Path(chosen).parent}:{os.environ['PATH']}", "FLEETWATCH_TOOLS": ""}
    up = Up(tmp_path_factory.mktemp("up") / "data", environ)
    with up.detached():
        yield up


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Up]:
    """The stack up for one test that stops it."""
    program("prometheus")
    up = Up(tmp_path / "data")
    with up.detached():
        yield up


def test_everything_found_is_ready_and_counts_a_replay(stack: Up, tmp_path: Path) -> None:
    status = stack.status()
    assert {"exporter", "prometheus", "alertmanager"} <= status.keys()
    assert {row["state"] for row in status.values()} == {"ready"}

    truth = tmp_path / "truth.json"
    for protocol, transport in (("http", "HTTP"), ("grpc", "gRPC")):
        done = stack.run(
            "replay",
            "--endpoint",
            stack.otlp(transport),
            "--protocol",
            protocol,
            "--truth",
            str(truth),
            "--speed",
            "1000",
            "--limit",
            "150",
            "--run-id",
            "once",
        )  # fmt: skip - options in pairs
        assert done.returncode == 0, done.stderr
    told = json.loads(truth.read_text())
    tokens = sum(row["value"] for row in told["tokens"])
    prometheus = status["prometheus"]["address"]
    # The second replay had the same run id: all duplicates.
    wait_for(lambda: query(prometheus, "sum(llm_requests_total) == 150"), 60, "150 requests in Prometheus")
    wait_for(lambda: query(prometheus, f"sum(llm_tokens_total) == {tokens}"), 60, f"{tokens} tokens in Prometheus")
    wait_for(lambda: query(prometheus, "sum(llm_duplicate_calls_total) == 150"), 60, "150 duplicates in Prometheus")
    assert not query(prometheus, "up == 0"), "a scrape target that does not answer"


def test_everything_listens_on_loopback_only(stack: Up) -> None:
    pids = {int(row["pid"]) for row in stack.status().values()}
    listening = [item for item in psutil.net_connections() if item.pid in pids and item.status == psutil.CONN_LISTEN]
    assert len({item.pid for item in listening}) == len(pids)
    hosts = {ipaddress.ip_address(item.laddr.ip.removeprefix("::ffff:")) for item in listening if item.laddr}
    assert all(host.is_loopback for host in hosts), hosts


def test_a_program_that_is_killed_comes_back(stack: Up) -> None:
    before = stack.status()["prometheus"]
    os.kill(int(before["pid"]), signal.SIGKILL)
    after = wait_for(
        lambda: (
            (row := stack.status()["prometheus"])["state"].startswith("ready") and row["pid"] != before["pid"] and row
        ),
        30,
        "another Prometheus",
        interval=0.5,
    )
    assert after["address"] == before["address"]
    assert after["state"] == "ready, started again 1 times"
    assert "prometheus ended with status -9" in (stack.data / "logs" / "up.log").read_text()


def test_down_stops_everything_and_up_again_continues(fresh: Up) -> None:
    done = fresh.run("replay", "--endpoint", fresh.otlp(), "--speed", "1000", "--limit", "20")
    assert done.returncode == 0, done.stderr
    pids = [int(row["pid"]) for row in fresh.status().values()]
    assert fresh.run("down").returncode == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert fresh.run("status").returncode == 3
    with fresh.detached():
        exporter = fresh.status()["exporter"]["address"]
        counted = wait_for(lambda: _requests(exporter) == 20, 30, "the 20 requests of before")
        assert counted


def _requests(exporter: str) -> float:
    lines = get(f"{exporter}/metrics")[1].splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("llm_requests_total{"))


def test_the_demo_fills_the_exporter_while_the_stack_runs(tmp_path: Path) -> None:
    up = Up(tmp_path / "data", without_programs(tmp_path))
    with up.detached("--demo"):
        exporter = up.status()["exporter"]["address"]
        wait_for(lambda: _requests(exporter) > 100, 60, "100 requests of the demo", interval=0.5)
        wait_for(
            lambda: 'agent_tasks_total{agent="helpdesk"' in get(f"{exporter}/metrics")[1], 60, "a demo agent's task"
        )
        executing = re.compile(r'^pipeline_phase_active\{.*phase="P0[0-9]-.*state="executing"\} [1-9]', re.MULTILINE)
        wait_for(lambda: executing.search(get(f"{exporter}/metrics")[1]), 60, "a phase of its pipeline under way")
        assert {up.status()[name]["state"] for name in ("demo", "demo-agents")} == {"running"}
        assert 'llm_budget_usd{budget="support"} 8' in get(f"{exporter}/metrics")[1]
        assert 'pipeline_expected_period_seconds{pipeline="usage-report"} 120' in get(f"{exporter}/metrics")[1]
    # The senders stop first, so that the last word of the agents is heard.
    with up.detached():
        exporter = up.status()["exporter"]["address"]
        wait_for(lambda: _presences(exporter) == {"goodbye"}, 20, "agents that said goodbye")


def _presences(exporter: str) -> set[str]:
    """What the demo's agents are at the moment."""
    return set(re.findall(r'^agent_presence{.*presence="(\w+)"} [1-9]', get(f"{exporter}/metrics")[1], re.MULTILINE))


def test_a_second_up_is_turned_away(stack: Up) -> None:
    done = stack.run("up", "--native")
    assert done.returncode == 2
    assert done.stderr.startswith("already up in ")
    assert stack.status()["prometheus"]["state"].startswith("ready")


def test_a_killed_up_leaves_nothing_that_the_next_one_trips_over(fresh: Up) -> None:
    noted = json.loads((fresh.data / "run" / "stack.json").read_text())
    old = {int(row["pid"]) for row in fresh.status().values()}
    os.kill(noted["supervisor"], signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(noted["supervisor"]) or fresh.run("status").returncode == 1, 10, "its end")
    with fresh.detached() as printed:
        assert "stopped what was left running: " in printed
        assert not [pid for pid in old if psutil.pid_exists(pid)]
        assert {row["state"] for row in fresh.status().values()} == {"ready"}


def test_nobody_else_may_look_into_the_data(stack: Up) -> None:
    assert stack.data.stat().st_mode & 0o777 == 0o700


def test_grafana_has_a_password_of_its_own(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    with up.detached():
        status = up.status()
        if "grafana" not in status:
            pytest.skip("grafana is not on this machine")
        address = status["grafana"]["address"].removeprefix("http://")
        password = (up.data / "grafana" / "admin_password").read_text()
        assert get(f"http://{address}/api/search")[0] == 401
        assert _search(address, "admin") == 401
        assert _search(address, password) == 200
        assert (up.data / "grafana" / "admin_password").stat().st_mode & 0o777 == 0o600


def _search(address: str, password: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=5)
    token = base64.b64encode(f"admin:{password}".encode()).decode()
    connection.request("GET", "/api/search", headers={"Authorization": f"Basic {token}"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(up.command("up", "--native"), env=up.environ, stdout=out, stderr=out, cwd=tmp_path)
    try:
        wait_for(lambda: "data and logs" in (tmp_path / "out").read_text(), 100, "the table")
        pids = [int(row["pid"]) for row in up.status().values()]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    assert pids
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert (tmp_path / "out").read_text().endswith("stopped\n")


def test_without_any_other_program_the_exporter_works_alone(tmp_path: Path) -> None:
    up = Up(tmp_path / "data", without_programs(tmp_path))
    with up.detached() as printed:
        for line in (
            "prometheus is not on this machine: no history, rules and alerts",
            "alertmanager is not on this machine: alerts are evaluated but nobody is told",
            "otel-collector is not on this machine: the exporter takes OTLP itself",
            "grafana is not on this machine: no boards",
        ):
            assert printed.count(line) == 1
        assert up.status().keys() == {"exporter"}
        assert up.run("replay", "--endpoint", up.otlp(), "--speed", "1000", "--limit", "5").returncode == 0


def test_a_used_port_is_named_with_its_holder_and_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        up = Up(tmp_path / "data", {**without_programs(tmp_path), "FLEETWATCH_WEB__LISTEN": taken})
        done = up.run("up", "--native")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{taken} (exporter) is in use by {psutil.Process().name()} (pid {os.getpid()}); ")
    assert "web.listen" in line
    assert "FLEETWATCH_WEB__LISTEN=127.0.0.1:" in line


def test_down_and_status_of_nothing_say_so(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    assert up.run("status").returncode == 3
    down = up.run("down")
    assert down.returncode == 1
    assert down.stderr.startswith("nothing runs for ")


def test_compose_without_an_engine_says_what_to_do(tmp_path: Path) -> None:
    up = Up(tmp_path / "data", {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    done = up.run("up", "--compose")
    assert done.returncode == 2
    assert done.stderr == "no Docker engine answers; start it, or set DOCKER_HOST, or take `up --native`\n"
