"""Compose gives up on a container that fell over once while starting; `up` does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.settings import Settings
from fleetwatch.stack import StackError, up

ENGINE = """#!/bin/sh
# Notes what it was asked, and fails as often as the file says; a real engine does not fail when a test wants it to.
case "$*" in *" up "*) ;; *) exit 0 ;; esac
echo "$*" >>"{folder}/asked"
[ "$(wc -l <"{folder}/asked")" -gt {failures} ]
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(ENGINE.format(folder=tmp_path, failures=request.param))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(docker.parent), prepend=":")
    return tmp_path / "asked"


@pytest.mark.parametrize(("asked", "times"), [(0, 1), (1, 2)], indirect=["asked"])
def test_one_that_fell_over_is_waited_for(asked: Path, times: int, tmp_path: Path) -> None:
    up.up_compose(Settings(data_dir=tmp_path / "data"), None, demo=False, say=lambda _: None)
    lines = asked.read_text().splitlines()
    assert len(lines) == times
    assert all("--wait" in line for line in lines)
    assert ["--build" in line for line in lines] == [True, False][:times]


@pytest.mark.parametrize("asked", [2], indirect=True)
def test_one_that_does_not_come_is_told(asked: Path, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="docker compose up ended with status 1"):
        up.up_compose(Settings(data_dir=tmp_path / "data"), None, demo=False, say=lambda _: None)
    assert len(asked.read_text().splitlines()) == 2
