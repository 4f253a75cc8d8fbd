"""Where the programs of the stack are on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

PROMETHEUS, ALERTMANAGER, COLLECTOR, GRAFANA = "prometheus", "alertmanager", "otel-collector", "grafana"

EXECUTABLES = {
    PROMETHEUS: ("prometheus",),
    ALERTMANAGER: ("alertmanager", "prometheus-alertmanager"),
    COLLECTOR: ("otelcol-contrib",),
    GRAFANA: ("grafana", "grafana-server"),
}
DEBIAN_PACKAGES = {PROMETHEUS: "prometheus", ALERTMANAGER: "prometheus-alertmanager"}
WITHOUT = {
    PROMETHEUS: "no history, rules and alerts",
    ALERTMANAGER: "alerts are evaluated but nobody is told",
    COLLECTOR: "the exporter takes OTLP itself",
    GRAFANA: "no boards",
}
"""What is missing without the program."""

DEBIAN_TEMPLATES = Path("/usr/share/prometheus/alertmanager")
"""Where Debian's Alertmanager reads its default templates, wherever it lies itself; it does not start without them."""


class Program(NamedTuple):
    """home: Grafana's folder with public/ and conf/, else None."""

    name: str
    path: Path
    home: Path | None = None


def locate(executable: str, environ: Mapping[str, str]) -> str | None:
    """Path of an executable in FLEETWATCH_TOOLS or on PATH; None without it."""
    return shutil.which(executable, path=os.pathsep.join([*_tools(environ), environ.get("PATH", os.defpath)]))


def _tools(environ: Mapping[str, str]) -> list[str]:
    tools = environ.get("FLEETWATCH_TOOLS")
    return [f"{tools}/bin", f"{tools}/grafana/bin"] if tools else []


def find(name: str, environ: Mapping[str, str], unpacked: Path) -> Program | None:
    """The program in FLEETWATCH_TOOLS, on PATH, or among the Debian packages in `unpacked`; None without it."""
    folders = [
        *_tools(environ),
        *environ.get("PATH", "").split(os.pathsep),
        "/usr/sbin",  # where Debian keeps servers, and only root's PATH looks
        "/usr/share/grafana/bin",
        f"{unpacked}/usr/bin",
    ]
    for executable in EXECUTABLES[name]:
        path = shutil.which(executable, path=os.pathsep.join(folder for folder in folders if folder))
        if path is None:
            continue
        if name != GRAFANA:
            return Program(name, Path(path))
        home = _grafana_home(Path(path))
        if home is not None:
            return Program(name, Path(path), home)
    return None


def version(program: Program) -> tuple[int, int]:
    """Release of a program that answers `--version`, as (3, 15); (0, 0) when it does not tell."""
    done = subprocess.run([program.path, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version v?(\d+)\.(\d+)", done.stdout + done.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _grafana_home(path: Path) -> Path | None:
    homes = (path.resolve().parents[1], Path("/usr/share/grafana"))
    return next((home for home in homes if (home / "conf" / "defaults.ini").is_file()), None)


def unpack_debian(names: list[str], folder: Path, say: Callable[[str], None]) -> None:
    """Unpack Debian's packages of the programs into `folder`; what does not work is said in one line.

    Unpacked and not installed: installing would start services of its own on the same ports at every boot, and needs
    root. apt checks the packages' signatures all the same.
    """
    packages = [DEBIAN_PACKAGES[name] for name in names if name in DEBIAN_PACKAGES]
    if not packages:
        return
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        say(f"{' and '.join(packages)}: not on PATH and not in FLEETWATCH_TOOLS; install them to have them here")
        return
    folder.mkdir(parents=True, exist_ok=True)
    say(f"fetching Debian's {' and '.join(packages)} into {folder} (once)")
    problem = _run(["apt-get", "download", "-qq", *packages], folder)
    if problem and os.geteuid() == 0:  # a fresh machine has no package lists yet
        problem = _run(["apt-get", "update", "-qq"], folder) or _run(["apt-get", "download", "-qq", *packages], folder)
    if problem:
        say(f"{' and '.join(packages)} could not be fetched ({problem}); try: sudo apt-get update, then this again")
        return
    for archive in sorted(folder.glob("*.deb")):
        if problem := _run(["dpkg-deb", "-x", archive.name, "."], folder):
            say(f"{archive.name} could not be unpacked ({problem})")
        archive.unlink()


def unfit(program: Program, unpacked: Path, templates: Path = DEBIAN_TEMPLATES) -> str:
    """Why an unpacked program cannot start, after root has mended it; empty when it can."""
    if program.name != ALERTMANAGER or unpacked not in program.path.parents or (templates / "default.tmpl").exists():
        return ""
    source = unpacked / DEBIAN_TEMPLATES.relative_to("/")
    try:
        templates.mkdir(parents=True, exist_ok=True)
        for file in source.glob("*.tmpl"):
            shutil.copy(file, templates)
    except OSError:
        return f"Debian's needs its templates; run: sudo install -D -m 644 -t {templates} {source}/*.tmpl"
    return ""


def _run(command: list[str], folder: Path) -> str:
    """Empty when it worked, else the last line that the program wrote."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"{command[0]} ended with status {done.returncode}"])[-1]
