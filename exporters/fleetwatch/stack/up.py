"""Up, down and status of the stack, with either way to run it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fleetwatch.settings import CONFIG_NAME, Settings
from fleetwatch.stack import StackError, compose, native
from fleetwatch.stack.ports import local
from fleetwatch.stack.state import Member, Snapshot, State, end, identity, is_ours
from fleetwatch.stack.supervisor import READY_WITHIN, Supervisor, answers

Say = Callable[[str], None]


def choose_mode(asked: str | None) -> str:
    """`compose` where a Docker engine answers and compose is there, else `native`. Raises StackError."""
    if asked == "native":
        return "native"
    engine = compose.engine_answers(os.environ)
    tool = compose.compose_command(os.environ) if engine or asked else None
    if asked == "compose" and not engine:
        raise StackError("no Docker engine answers; start it, or set DOCKER_HOST, or take `up --native`")
    if asked == "compose" and not tool:
        raise StackError("docker compose is not on this machine; install it, or take `up --native`")
    return "compose" if engine and tool else "native"


def up_native(
    settings: Settings, config: Path | None, *, demo: bool, say: Say, show: Callable[[list[tuple[str, str]]], None]
) -> None:
    """Run the stack in the foreground until it is told to stop. Raises StackError."""
    data = settings.data_dir
    state = State(data)
    _claim(state, data)
    try:
        _run(settings, config, state, demo=demo, say=say, show=show)
    finally:
        state.release()
    say("stopped")


def _run(
    settings: Settings,
    config: Path | None,
    state: State,
    *,
    demo: bool,
    say: Say,
    show: Callable[[list[tuple[str, str]]], None],
) -> None:
    data = settings.data_dir
    if left := state.load():
        # The one that watched them was killed; they would hold the ports.
        if stopped := end(left.members):
            say(f"stopped what was left running: {', '.join(stopped)}")
        state.remove()
    found = native.find_programs(settings, os.environ, say)
    at = native.resolve(settings, found)
    plan = native.plan(settings, found, at, config)
    services = plan.services
    if demo:
        folder = data.absolute()
        services = [
            *native.with_demo_settings(services, settings),
            native.demo(at, folder),
            native.demo_agents(at, folder),
        ]
    say(f"starting {', '.join(service.name for service in services)}")
    Supervisor(services, state, say).run(when_ready=lambda: show(plan.table))


def _claim(state: State, data: Path) -> None:
    _make_private(data)
    try:
        locked = state.lock()
    except OSError as error:
        raise _unusable(data, error) from None
    if not locked:
        raise StackError(f"already up in {data}; see `fleetwatch status`, stop it with `fleetwatch down`")


def _make_private(data: Path) -> None:
    """Make the folder, if need be, for its owner alone: what an organisation spends is nobody else's business."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(data, error) from None


def _unusable(data: Path, error: OSError) -> StackError:
    return StackError(f"{data}: cannot be used as data_dir: {error.strerror}")


def up_detached(settings: Settings, arguments: Sequence[str], say: Say) -> None:
    """Start `fleetwatch up` in the background and return when it is ready, relaying what it says. Raises StackError."""
    state = State(settings.data_dir)
    if (old := state.load()) and old.alive:
        raise StackError(f"already up in {settings.data_dir}; see `fleetwatch status`, stop it with `fleetwatch down`")
    _make_private(settings.data_dir)
    log = settings.data_dir / "logs" / "up.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "fleetwatch", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    seen = 0
    deadline = time.monotonic() + READY_WITHIN + 300  # and time to fetch missing programs
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        snapshot = state.load()
        ready = snapshot is not None and snapshot.phase == "up" and snapshot.supervisor == process.pid
        with log.open(encoding="utf-8", errors="replace") as file:
            file.seek(seen)
            text = file.read()
            seen = file.tell()
        if text:
            say(text.rstrip("\n"))
        if ended:
            raise StackError(f"`up` has ended; see {log}")
        if ready:
            return
        time.sleep(0.1)
    raise StackError(f"not ready yet; it goes on in the background, see {log} and `fleetwatch status`")


def down_native(settings: Settings, say: Say) -> bool:
    """Stop the stack of this data_dir, or what a killed one left. False when there was none."""
    state = State(settings.data_dir)
    snapshot = state.load()
    if snapshot is None:
        return False
    if snapshot.alive:
        # It stops its programs itself, in order.
        end({"up": Member(snapshot.supervisor, snapshot.supervisor_started, "", "", 0)}, within=30)
    if left := end(snapshot.members):
        say(f"stopped what was left running: {', '.join(left)}")
    state.remove()
    return True


def up_compose(settings: Settings, config: Path | None, *, demo: bool, say: Say) -> None:
    """Build, start and wait until every service is healthy; then the demo's traffic. Raises StackError."""
    mark = _mark(settings)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    if not compose.shares_mounts():
        say(
            "fleetwatch-host is left out, so this machine is not reported: / is no shared mount "
            "(`mount --make-rshared /` makes it one)"
        )
        os.environ["COMPOSE_PROFILES"] = ""
    say("starting the containers (the first time builds an image and takes minutes)")
    file = _settings_file(config)
    try:
        _compose(settings, file, "up", "--build", "--detach", "--wait")
    except StackError:
        # Compose gives up at once on a container that fell over while starting, though the engine starts it again.
        say("a container did not start at once; waiting for the engine to start it again")
        _compose(settings, file, "up", "--detach", "--wait")
    if demo:
        _start_demo(settings.data_dir, f"http://{local(settings.receive.http.listen)}")


def _start_demo(data: Path, endpoint: str) -> None:
    """The demo's senders, outside of the containers; `down` finds them by the file."""
    program = [sys.executable, "-m", "fleetwatch"]
    trace = subprocess.Popen([*program, "replay", "--endpoint", endpoint], start_new_session=True)
    # Quiet: what the SDK has to say when the receiver goes belongs on nobody's terminal.
    agents = subprocess.Popen(
        [*program, "demo", "--endpoint", endpoint],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    senders = {"demo": trace.pid, "demo-agents": agents.pid}
    members = {name: Member(pid, identity(pid), "", "", 0) for name, pid in senders.items()}
    State(data, "compose").save("up", members)


def _settings_file(config: Path | None) -> Path | None:
    """The file that the settings came from: a container finds neither this folder nor this environment."""
    named = config or Path(os.environ.get("FLEETWATCH_CONFIG") or CONFIG_NAME)
    return named if named.exists() else None


def is_compose(settings: Settings) -> bool:
    """Whether the last `up` of this data_dir was one with containers."""
    return _mark(settings).exists()


def down_compose(settings: Settings) -> None:
    """Stop and remove the containers; the volumes with all data stay. Raises StackError."""
    state = State(settings.data_dir)
    if senders := state.load():
        end(senders.members)
        state.remove()
    _compose(settings, None, "down")
    _mark(settings).unlink(missing_ok=True)


def status_compose(settings: Settings) -> None:
    """Show Docker's own table. Raises StackError."""
    _compose(settings, None, "ps", "--all")


def _mark(settings: Settings) -> Path:
    return settings.data_dir / "run" / "compose"


def _compose(settings: Settings, config: Path | None, *arguments: str) -> None:
    tool = compose.compose_command(os.environ)
    if tool is None:
        raise StackError("docker compose is not on this machine")
    environ = {**os.environ, **compose.environment(settings, config)}
    status = subprocess.run(compose.command_line(tool, *arguments), env=environ, check=False).returncode
    if status:
        raise StackError(f"docker compose {arguments[0]} ended with status {status}")


def look(snapshot: Snapshot) -> list[tuple[str, str, str, str]]:
    """(name, ready | running | not ready | gone, pid, address) of each program, asked now."""
    rows = []
    for name, member in snapshot.members.items():
        if not is_ours(member.pid, member.started):
            word = "gone"
        elif not member.ready:
            word = "running"
        elif answers(member.ready):
            word = "ready"
        else:
            word = "not ready"
        if member.restarts:
            word += f", started again {member.restarts} times"
        rows.append((name, word, str(member.pid), member.shown))
    return rows
