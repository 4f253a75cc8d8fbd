"""The demo beside containers: its senders are no containers, and `down` ends them all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.settings import Settings
from fleetwatch.stack import up
from fleetwatch.stack.state import State, end, is_ours
from support import free_port

ENGINE = """#!/bin/sh
# Takes every command; what there is to see is left to the tests with a real engine.
exit 0
"""


# They are left to themselves on purpose.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_down_ends_the_senders_before_the_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(ENGINE)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(docker.parent), prepend=":")
    settings = Settings(data_dir=tmp_path / "data")
    up._start_demo(settings.data_dir, f"http://127.0.0.1:{free_port()}")
    started = State(settings.data_dir).load()
    assert started is not None
    try:
        assert started.members.keys() == {"demo", "demo-agents"}
        assert all(is_ours(member.pid, member.started) for member in started.members.values())
        up.down_compose(settings)
        assert not [name for name, member in started.members.items() if is_ours(member.pid, member.started)]
        assert State(settings.data_dir).load() is None
    finally:
        end(started.members)
