"""What is on this machine: settings, files, ledger, ports, programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import requests

from fleetwatch.app.doctor.finding import Finding
from fleetwatch.settings import Settings, SettingsError
from fleetwatch.stack import ports, programs, state, up

LEAST_FREE = 512 << 20
"""Bytes on the disk of the data folder, below which a busy ledger is full within a day."""
PATIENCE = 2.0
"""Seconds for a program on this machine to answer."""
PUBLIC = ("tls_cert_file", "ca_file")
"""Files that everybody may read."""


def settings_hold(settings: Settings) -> Iterator[Finding]:
    """Do the settings make an exporter? It is put together and not started."""
    from fleetwatch.app.exporter import Exporter  # noqa: PLC0415 - the exporter is slow to load

    try:
        Exporter(settings)
    except SettingsError as error:
        yield Finding("settings", "all", "trouble", str(error), "Change it in the settings file or the environment.")
    else:
        yield Finding("settings", "all", "ok")


def files(settings: Settings) -> Iterator[Finding]:
    """Every file that a setting names, secrets above all."""
    for name, path in _named_files(settings):
        try:
            mode = path.stat().st_mode
            empty = not path.read_bytes().strip()
        except OSError as error:
            fix = f"Make the file, let the exporter's user read it, or take {name} out."
            yield Finding("files", name, "trouble", f"{path}: {error.strerror}", fix)
            continue
        if empty:
            yield Finding("files", name, "trouble", f"{path} is empty", "Write the secret into it.")
        elif mode & (stat.S_IRGRP | stat.S_IROTH) and not name.endswith(PUBLIC):
            yield Finding("files", name, "note", f"others may read {path}", f"chmod 600 {path}")
        else:
            yield Finding("files", name, "ok", str(path))


def _named_files(section: msgspec.Struct, place: str = "") -> Iterator[tuple[str, Path]]:
    for field in msgspec.structs.fields(section):
        value, name = getattr(section, field.name), f"{place}{field.name}"
        if isinstance(value, msgspec.Struct):
            yield from _named_files(value, f"{name}.")
        elif field.name.endswith("_file") and isinstance(value, Path):
            yield name, value


def ledger(settings: Settings) -> Iterator[Finding]:
    """Can it be read, and is there a place to write it?"""
    from fleetwatch.ledger.errors import LedgerError  # noqa: PLC0415 - SQLite is loaded only here
    from fleetwatch.ledger.query import Reader  # noqa: PLC0415 - see above

    path = settings.ledger_path
    if path.exists():
        try:
            with Reader(path):
                size = path.stat().st_size
        except LedgerError as error:
            yield Finding("ledger", "file", "trouble", str(error), "Look at the runbook LedgerFailing.")
        else:
            yield Finding("ledger", "file", "ok", f"{path}, {size / 1e6:.1f} MB")
    else:
        yield Finding("ledger", "file", "ok", f"{path} does not exist yet: the exporter makes it when it starts")
    folder = _nearest(path.parent)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        fix = "Let the exporter's user write there, or set data_dir to another folder."
        yield Finding("ledger", "folder", "trouble", f"{folder} cannot be written", fix)
        return
    free = shutil.disk_usage(folder).free
    said = f"{folder}, {free / 1e9:.1f} GB free"
    if free < LEAST_FREE:
        yield Finding("ledger", "folder", "trouble", said, "Make room, or set data_dir to another disk.")
    else:
        yield Finding("ledger", "folder", "ok", said)


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that exists."""
    return next((item for item in (folder, *folder.parents) if item.exists()), Path("/"))


def ports_of(settings: Settings) -> Iterator[Finding]:
    """Is the exporter running, and if not, could it listen?"""
    web = settings.web.listen
    runs = _is_exporter(web)
    if runs:
        yield _ready(web)
    listeners = {
        "web.listen": web,
        "receive.http.listen": settings.receive.http.listen,
        "receive.grpc.listen": settings.receive.grpc.listen,
    }
    for setting, address in listeners.items():
        port = ports.split(address)[1]
        if port == 0:
            yield Finding("ports", setting, "ok", f"{address}: any port that is free")
        elif ports.is_free(address):
            yield Finding("ports", setting, "note" if runs else "ok", f"{address} is free")
        elif runs:
            yield Finding("ports", setting, "ok", f"{address} is in use, and the exporter runs")
        else:
            fix = f"Stop it, or set {setting} to another address."
            yield Finding("ports", setting, "trouble", f"{address} is in use by {ports.holder(address)}", fix)


def _is_exporter(address: str) -> bool:
    return "fleetwatch" in _get(f"http://{ports.local(address)}/")[1][:400]


def _ready(address: str) -> Finding:
    status, text = _get(f"http://{ports.local(address)}/readyz")
    if status == 200:
        return Finding("exporter", "ready", "ok", f"http://{address}")
    return Finding("exporter", "ready", "trouble", text.strip()[:200] or "no answer", "Look at its log.")


def _get(url: str) -> tuple[int, str]:
    with contextlib.suppress(requests.RequestException):
        found = requests.get(url, timeout=PATIENCE)
        return found.status_code, found.text
    return 0, ""


def stack_of(settings: Settings) -> Iterator[Finding]:
    """The programs that `up` starts: are they here, do they answer?"""
    addresses = {
        programs.PROMETHEUS: (settings.stack.prometheus_listen, "/-/ready"),
        programs.ALERTMANAGER: (settings.stack.alertmanager_listen, "/-/ready"),
        programs.GRAFANA: (settings.stack.grafana_listen, "/api/health"),
        programs.COLLECTOR: ("", ""),
    }
    started = _started(settings)
    for name, (address, path) in addresses.items():
        if name in started:
            yield started[name]
        elif address and _get(f"http://{ports.local(address)}{path}")[0] == 200:
            yield Finding("stack", name, "ok", f"answers on {address}")
        elif (found := programs.find(name, os.environ, settings.data_dir / "programs")) is not None:
            yield Finding("stack", name, "ok", f"{found.path}, not running" if address else str(found.path))
        else:
            fix = "Put it on PATH or in FLEETWATCH_TOOLS; `fleetwatch up` does without."
            yield Finding("stack", name, "note", f"not on this machine: {programs.WITHOUT[name]}", fix)


def _started(settings: Settings) -> dict[str, Finding]:
    """Programs that `up` has started: this shell's PATH may not show where they are."""
    snapshot = state.State(settings.data_dir).load()
    if snapshot is None or snapshot.mode != "native":
        return {}
    found = {}
    for name, word, pid, address in up.look(snapshot):
        where = f"started by `up`, process {pid}{f', {address}' if address else ''}"
        if word.startswith(("ready", "running")):
            found[name] = Finding("stack", name, "ok", f"{word}: {where}")
        else:
            found[name] = Finding("stack", name, "trouble", f"{word}: {where}", "Look at `fleetwatch status`.")
    return found
