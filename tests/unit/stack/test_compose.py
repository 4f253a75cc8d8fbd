"""docker-compose.yml as written: hardened, on loopback, nothing that floats. Read as YAML, so it runs everywhere."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetwatch.places import PROJECT
from fleetwatch.settings import load
from fleetwatch.stack import compose
from fleetwatch.stack.native import GRAFANA_HARDENING, RETENTION_FLAGS

FILE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
EXAMPLE = dict(
    line.split("=", 1)
    for line in (PROJECT / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
)

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


@each_service
def test_a_service_can_do_no_more_than_it_must(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] <= 512
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert int(str(service["user"]).split(":")[0]) > 0
    assert service["healthcheck"]["test"][0] == "CMD"
    assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & service.keys()
    assert "docker.sock" not in str(service)


@each_service
def test_ports_are_published_where_the_example_says(service: dict[str, Any]) -> None:
    assert service.get("network_mode", "none") == "none"
    for port in service.get("ports", []):
        assert re.fullmatch(r"\$\{PUBLISH_[A-Z_]+\}:\d+", port)
        assert EXAMPLE[port[2 : port.index("}")]].startswith("127.0.0.1:")


@each_service
def test_images_are_named_in_the_example_with_a_version(service: dict[str, Any]) -> None:
    name = service["image"].removeprefix("${").removesuffix("}")
    assert f"${{{name}}}" == service["image"]
    if "build" in service:
        assert EXAMPLE[name].endswith(":local")
        for value in service["build"]["args"].values():
            assert re.search(r":v?\d+\.\d+\.\d+", EXAMPLE[value.strip("${}")])
    else:
        assert re.search(r":v?\d+\.\d+\.\d+", EXAMPLE[name])


def test_only_alertmanager_gets_out() -> None:
    assert FILE["networks"]["inside"] == {"internal": True}
    assert FILE["networks"]["published"]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    assert [name for name, service in SERVICES.items() if "outward" in service.get("networks", [])] == ["alertmanager"]


def test_grafana_and_prometheus_are_run_as_on_the_machine_itself() -> None:
    assert GRAFANA_HARDENING.items() <= SERVICES["grafana"]["environment"].items()
    assert set(RETENTION_FLAGS) <= set(SERVICES["prometheus"]["command"])


def test_plain_docker_compose_reads_the_example() -> None:
    assert (PROJECT / ".env").resolve() == PROJECT / ".env.example"


def test_every_variable_of_the_file_is_in_the_example() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", (PROJECT / "docker-compose.yml").read_text()))
    assert used == set(EXAMPLE) - {"COMPOSE_PROFILES"}  # docker compose reads this one itself


def test_settings_become_variables_of_the_file(tmp_path: Path) -> None:
    secret = tmp_path / "slack"
    settings = load(
        None,
        {
            "FLEETWATCH_DATA_DIR": str(tmp_path),
            "FLEETWATCH_WEB__LISTEN": "127.0.0.1:9999",
            "FLEETWATCH_STACK__SLACK_URL_FILE": str(secret),
        },
    )
    variables = compose.environment(settings, None)
    assert variables["PUBLISH_EXPORTER"] == "127.0.0.1:9999"
    assert variables["SLACK_URL_FILE"] == str(secret)
    assert variables.keys() <= EXAMPLE.keys()


def test_no_engine_is_no_error(tmp_path: Path) -> None:
    assert not compose.engine_answers({"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"})
    assert not compose.engine_answers({"DOCKER_HOST": "tcp://127.0.0.1:1"})
    assert not compose.engine_answers({"DOCKER_HOST": "tcp://nonsense:port"})


def test_a_program_that_listens_but_says_nothing_is_no_engine(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/s")
        server.listen()

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert not compose.engine_answers({"DOCKER_HOST": f"unix://{tmp_path}/s"})
        thread.join(5)


@pytest.mark.parametrize(
    ("mounts", "shared"),
    [
        ("27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw", True),
        ("27 1 254:0 / / rw,relatime master:1 - ext4 /dev/vda rw", True),
        ("27 1 254:0 / / rw,relatime - ext4 /dev/vda rw", False),
        ("1 0 0:1 / / rw - rootfs rootfs rw\n27 1 254:0 / / rw shared:1 - ext4 /dev/vda rw", True),
        ("", True),
    ],
)
def test_a_machine_that_shares_its_mounts_is_known(mounts: str, shared: bool, tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(mounts)
    assert compose.shares_mounts(tmp_path / "mountinfo") is shared
    assert compose.shares_mounts(tmp_path / "none")
