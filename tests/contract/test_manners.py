"""What no file of the project may contain, and where nothing may listen."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from fleetwatch.places import PROJECT
from fleetwatch.settings import Settings

# Spelled in parts, so that this file passes its own check.
REGISTRIES = re.compile(
    "|".join(
        ["files.python" + "hosted", r"pypi\.o" + "rg", "registry.npm" + "js", "deb.deb" + "ian", "proxy.gol" + "ang"]
    )
)
MACHINE_PATHS = re.compile(r"(?<![\w/.])/(?:work|root|home/\w+)/")
FLOATING_TAG = re.compile(r"^\s*image:\s*\S+:latest|^\s*image:\s*[^:$]+$", re.MULTILINE)


def files() -> list[Path]:
    """Files that git knows or would add, without binary ones."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [
        PROJECT / name
        for name in listed
        if (PROJECT / name).is_file() and (PROJECT / name).suffix not in {".png", ".db", ".gz"}
    ]


def complaints(text: str) -> list[str]:
    """What a file's text must not hold."""
    found = []
    if REGISTRIES.search(text):
        found.append("names a package registry's host")
    if MACHINE_PATHS.search(text):
        found.append("names a path of somebody's machine")
    return found


def test_no_file_names_a_registry_or_somebody_s_machine() -> None:
    found = {
        str(path.relative_to(PROJECT)): complaints(path.read_text(encoding="utf-8", errors="replace"))
        for path in files()
    }
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize("bad", ["index-url = https://" + "pypi.o" + "rg/simple", "open('/ro" + "ot/x')"])
def test_the_wall_stands(bad: str) -> None:
    """A forbidden text is found."""
    assert complaints(bad) != []


def test_nothing_listens_beyond_loopback_by_default() -> None:
    defaults = Settings()
    listeners = [
        defaults.web.listen,
        defaults.receive.http.listen,
        defaults.receive.grpc.listen,
        defaults.stack.prometheus_listen,
        defaults.stack.alertmanager_listen,
        defaults.stack.grafana_listen,
    ]
    assert {address.rpartition(":")[0] for address in listeners} == {"127.0.0.1"}


def test_no_image_has_a_floating_tag() -> None:
    assert FLOATING_TAG.findall((PROJECT / "docker-compose.yml").read_text(encoding="utf-8")) == []


def test_the_locks_pin_every_package_by_hash_and_name_no_index() -> None:
    for name in ("requirements.lock", "requirements-test.lock"):
        text = (PROJECT / name).read_text(encoding="utf-8")
        entries = re.split(r"\n(?=\S)", text.strip())
        assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
        assert "http://" not in text
        assert "https://" not in text
