"""docker-compose.yml for real: what docker-compose makes of it, and the whole stack on a Docker engine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from fleetwatch.places import PROJECT
from fleetwatch.stack.compose import command_line, compose_command, engine_answers
from support import free_port, wait_for
from support_stack import get
from support_up import Up

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]  # the first build of the images takes minutes

SERVICES = {"fleetwatch", "otel-collector", "prometheus", "alertmanager", "grafana"}


class Project:
    """The shipped file under a name and on ports of its own."""

    def __init__(self, **variables: str) -> None:
        compose = compose_command(os.environ)
        if compose is None:
            pytest.skip("docker-compose is not on this machine")
        self._compose = compose
        self.environ = {**os.environ, "COMPOSE_PROJECT_NAME": f"fleetwatch-test-{os.getpid()}", **variables}

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            command_line(self._compose, *arguments), env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def states(self) -> dict[str, str]:
        rows = [json.loads(line) for line in self.run("ps", "--all", "--format", "json").splitlines()]
        return {row["Service"]: row["Health"] or f"{row['State']} {row['ExitCode']}" for row in rows}


def test_docker_compose_publishes_on_loopback_only() -> None:
    resolved: dict[str, Any] = json.loads(Project().run("config", "--format", "json"))
    published = {
        (name, port["target"], port["host_ip"])
        for name, service in resolved["services"].items()
        for port in service.get("ports", [])
    }
    assert {name for name, _, _ in published} == SERVICES
    assert {host for _, _, host in published} == {"127.0.0.1"}


def test_plain_docker_compose_needs_no_options() -> None:
    """As somebody does who has read nothing: `docker-compose config` in the folder."""
    compose = compose_command(os.environ)
    if compose is None:
        pytest.skip("docker-compose is not on this machine")
    done = subprocess.run([*compose, "config", "-q"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def project() -> Iterator[Project]:
    if not engine_answers(os.environ):
        pytest.skip("no Docker engine answers (DOCKER_HOST)")
    names = ("EXPORTER", "OTLP_HTTP", "OTLP_GRPC", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")
    project = Project(**{f"PUBLISH_{name}": f"127.0.0.1:{free_port()}" for name in names})
    try:
        yield project
    finally:
        project.run("down", "--volumes", "--timeout", "5")


def requests_counted(project: Project) -> float:
    lines = get(f"http://{project.environ['PUBLISH_EXPORTER']}/metrics")[1].splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("llm_requests_total{"))


def test_the_stack_comes_up_whole_and_loses_nothing(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    project.run("up", "--build", "--detach", "--wait")
    assert project.states() == {**dict.fromkeys(SERVICES, "healthy"), "config": "exited 0"}

    sender = Up(tmp_path_factory.mktemp("compose") / "data")
    for protocol, port in (("http", "OTLP_HTTP"), ("grpc", "OTLP_GRPC")):
        endpoint = f"http://{project.environ[f'PUBLISH_{port}']}"
        done = sender.run("replay", "--endpoint", endpoint, "--protocol", protocol, "--speed", "1000", "--limit", "100")
        assert done.returncode == 0, done.stderr
    wait_for(lambda: requests_counted(project) == 200, 60, "200 requests in the exporter")
    query = urllib.parse.urlencode({"query": "sum(llm_requests_total) == 200 unless on() (up == 0)"})
    prometheus = f"http://{project.environ['PUBLISH_PROMETHEUS']}/api/v1/query?{query}"
    wait_for(lambda: json.loads(get(prometheus)[1])["data"]["result"], 60, "200 requests in Prometheus, no target down")

    password = project.run("exec", "-T", "grafana", "cat", "/rendered/secrets/admin_password")
    assert grafana_status(project, password) == 200
    assert grafana_status(project, "admin") == 401

    before = time.time()
    project.run("down")
    project.run("up", "--detach", "--wait")
    assert set(project.states().values()) == {"healthy", "exited 0"}
    wait_for(lambda: requests_counted(project) == 200, 60, "the 200 requests of before")
    address = f"{prometheus}&time={before}"
    wait_for(lambda: json.loads(get(address)[1])["data"]["result"], 30, "the samples of before in Prometheus")
    assert grafana_status(project, password) == 200


def grafana_status(project: Project, password: str) -> int:
    address = f"http://{project.environ['PUBLISH_GRAFANA']}/api/search"
    token = base64.b64encode(f"admin:{password}".encode()).decode()
    request = urllib.request.Request(address, headers={"Authorization": f"Basic {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
