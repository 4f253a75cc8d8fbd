"""The note of what runs: nothing is signalled that is not ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.stack.state import Member, State, end, identity, is_ours

SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)",
]


@pytest.fixture
def sleeper(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(getattr(request, "param", SLEEPER), stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    yield process
    process.stdout.close()
    process.kill()
    process.wait()


def member(process: subprocess.Popen[bytes], shift: float = 0.0) -> Member:
    return Member(process.pid, identity(process.pid) + shift, "", "", 0)


def test_what_was_saved_is_read_back(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    state = State(tmp_path)
    state.save("up", {"prometheus": member(sleeper)})
    snapshot = state.load()
    assert snapshot is not None
    assert snapshot.alive
    assert snapshot.members == {"prometheus": member(sleeper)}
    state.remove()
    assert state.load() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"members": {}}', '{"members": {"a": {"pid": 1}}}'])
def test_a_damaged_note_counts_as_none(tmp_path: Path, text: str) -> None:
    state = State(tmp_path)
    state.file.parent.mkdir(parents=True)
    state.file.write_text(text)
    assert state.load() is None


def test_a_program_of_ours_is_ended(sleeper: subprocess.Popen[bytes]) -> None:
    ours = member(sleeper)
    assert end({"prometheus": ours}) == ["prometheus"]
    assert not is_ours(ours.pid, ours.started)


@pytest.mark.parametrize("sleeper", [DEAF], indirect=True)
def test_a_program_that_does_not_listen_is_killed(sleeper: subprocess.Popen[bytes]) -> None:
    ours = member(sleeper)
    end({"prometheus": ours}, within=0.2)
    assert not is_ours(ours.pid, ours.started)


def test_another_process_with_the_same_id_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    assert end({"prometheus": member(sleeper, shift=-100)}) == []
    assert sleeper.poll() is None


def test_a_process_that_is_gone_is_not_ours() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = identity(process.pid)
    process.wait()
    assert not is_ours(process.pid, started)
    assert not is_ours(0, 0.0)


def test_one_folder_belongs_to_one_up(tmp_path: Path) -> None:
    first, second = State(tmp_path), State(tmp_path)
    assert first.lock()
    assert not second.lock()
    first.release()
    assert second.lock()
    second.release()
