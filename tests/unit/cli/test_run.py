"""`fleetwatch run` as a process: starts, serves, ends when told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import wait_for


def environment(folder: Path, **settings: str) -> dict[str, str]:
    ours = {
        "FLEETWATCH_DATA_DIR": str(folder / "data"),
        "FLEETWATCH_WEB__LISTEN": "127.0.0.1:0",
        "FLEETWATCH_RECEIVE__HTTP__LISTEN": "127.0.0.1:0",
        "FLEETWATCH_RECEIVE__GRPC__LISTEN": "127.0.0.1:0",
        **settings,
    }
    others = {name: text for name, text in os.environ.items() if not name.startswith("FLEETWATCH_")}
    return {**others, "PYTHONUNBUFFERED": "1", **ours}


COMMAND = [sys.executable, "-m", "fleetwatch", "run"]


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process and the addresses that it printed."""
    out = folder / "out"
    with out.open("w") as file:
        process = subprocess.Popen(
            COMMAND, cwd=folder, env=environment(folder, **settings), stdout=file, stderr=file, text=True
        )
    try:
        wait_for(lambda: "ledger " in out.read_text() or process.poll() is not None, 30, "the addresses")
        assert process.poll() is None, out.read_text()
        lines = [line.split() for line in out.read_text().splitlines()]
        yield process, {line[0]: line[1] for line in lines if len(line) == 2}
    finally:
        process.kill()
        process.wait()


def test_it_prints_where_it_listens_and_ends_soon_when_told(tmp_path: Path) -> None:
    with running(tmp_path) as (process, addresses):
        assert list(addresses) == ["metrics", "otlp-http", "otlp-grpc", "ledger"]
        with urllib.request.urlopen(addresses["metrics"], timeout=10) as answer:
            assert b"fleetwatch_build_info" in answer.read()
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - started < 3
    assert (tmp_path / "data" / "ledger.db").stat().st_mode & 0o077 == 0, "nobody else's business"


def test_a_wrong_setting_ends_it_with_one_line_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        for settings, told in (
            ({"FLEETWATCH_WEB__LISTEN": taken}, f"web.listen: {taken} is in use by python"),
            ({"FLEETWATCH_WEB__LISTN": "x"}, "FLEETWATCH_WEB__LISTN: web.listn: unknown key"),
        ):
            done = subprocess.run(
                COMMAND,
                cwd=tmp_path,
                env=environment(tmp_path, **settings),
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert (done.returncode, done.stdout) == (2, "")
            assert told in done.stderr
            assert len(done.stderr.splitlines()) == 1


def test_the_program_names_its_verbs_and_version() -> None:
    for option, text in (("--help", "ledger"), ("--version", "fleetwatch, version")):
        done = subprocess.run([*COMMAND[:-1], option], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, text in done.stdout) == (0, True)
    done = subprocess.run([*COMMAND[:-1], "nothing"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "No such command" in done.stderr) == (2, True)
