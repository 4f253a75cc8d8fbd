"""Where programs are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.stack import programs
from fleetwatch.stack.programs import ALERTMANAGER, GRAFANA, PROMETHEUS, Program


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_tools_folder_comes_before_path(tmp_path: Path) -> None:
    first = executable(tmp_path / "tools" / "bin" / "prometheus")
    second = executable(tmp_path / "path" / "prometheus")
    environ = {"FLEETWATCH_TOOLS": str(tmp_path / "tools"), "PATH": str(second.parent)}
    assert programs.find(PROMETHEUS, environ, tmp_path) == Program(PROMETHEUS, first)
    assert programs.find(PROMETHEUS, {"PATH": str(second.parent)}, tmp_path) == Program(PROMETHEUS, second)


def test_debians_name_of_alertmanager_is_known(tmp_path: Path) -> None:
    path = executable(tmp_path / "usr" / "bin" / "prometheus-alertmanager")
    assert programs.find(ALERTMANAGER, {"PATH": ""}, tmp_path) == Program(ALERTMANAGER, path)


def test_grafana_needs_its_folders(tmp_path: Path) -> None:
    path = executable(tmp_path / "grafana" / "bin" / "grafana")
    environ = {"FLEETWATCH_TOOLS": str(tmp_path)}
    assert programs.find(GRAFANA, environ, tmp_path) is None
    (tmp_path / "grafana" / "conf").mkdir()
    (tmp_path / "grafana" / "conf" / "defaults.ini").touch()
    assert programs.find(GRAFANA, environ, tmp_path) == Program(GRAFANA, path, tmp_path / "grafana")


@pytest.mark.parametrize(
    ("printed", "release"),
    [
        ("prometheus, version 3.15.0 (branch: HEAD, revision: x)", (3, 15)),
        ("alertmanager, version 0.25.0+ds (branch: debian/sid)", (0, 25)),
        ("who knows", (0, 0)),
    ],
)
def test_the_release_is_read_from_what_it_prints(tmp_path: Path, printed: str, release: tuple[int, int]) -> None:
    path = executable(tmp_path / "program", f"#!/bin/sh\necho '{printed}'\n")
    assert programs.version(Program("x", path)) == release


def test_a_machine_without_apt_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    programs.unpack_debian([PROMETHEUS, ALERTMANAGER], tmp_path / "programs", said.append)
    (line,) = said
    assert line.startswith("prometheus and prometheus-alertmanager: not on PATH and not in FLEETWATCH_TOOLS; install")
    assert not (tmp_path / "programs").exists()


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """What `dpkg-deb -x` leaves of Debian's Alertmanager."""
    folder = tmp_path / "programs"
    executable(folder / "usr" / "bin" / "prometheus-alertmanager")
    templates = folder / "usr" / "share" / "prometheus" / "alertmanager"
    templates.mkdir(parents=True)
    (templates / "default.tmpl").write_text("a template")
    return folder


def test_debians_alertmanager_gets_its_templates_where_it_looks(unpacked: Path, tmp_path: Path) -> None:
    program = Program(ALERTMANAGER, unpacked / "usr" / "bin" / "prometheus-alertmanager")
    place = tmp_path / "share" / "alertmanager"
    assert programs.unfit(program, unpacked, place) == ""
    assert (place / "default.tmpl").read_text() == "a template"


def test_an_installed_alertmanager_is_left_alone(unpacked: Path, tmp_path: Path) -> None:
    program = Program(ALERTMANAGER, tmp_path / "elsewhere" / "prometheus-alertmanager")
    assert programs.unfit(program, unpacked, tmp_path / "share") == ""
    assert not (tmp_path / "share").exists()


def test_who_may_not_place_the_templates_is_told_how(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "share").touch()  # a file stands where the folder should be: not even root can make it
    program = Program(ALERTMANAGER, unpacked / "usr" / "bin" / "prometheus-alertmanager")
    place = tmp_path / "share" / "alertmanager"
    source = unpacked / "usr" / "share" / "prometheus" / "alertmanager"
    assert programs.unfit(program, unpacked, place).endswith(f"sudo install -D -m 644 -t {place} {source}/*.tmpl")
