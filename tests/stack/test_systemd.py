"""The systemd units through systemd's own checks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support_deploy import DEPLOY

pytestmark = pytest.mark.stack

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Skips the test by name where systemd is not installed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not on this machine")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_reads_a_unit_without_a_complaint(unit: Path, tmp_path: Path) -> None:
    """With a program that is there: systemd looks for it."""
    here = tmp_path / unit.name
    here.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    done = analyze("verify", "--man=no", str(here))
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, complaints) == (0, [])
    spoiled = tmp_path / "spoiled.service"
    spoiled.write_text(here.read_text().replace("NoNewPrivileges=yes", "NoNewPrivilege=yes"))
    assert "'NoNewPrivilege'" in analyze("verify", "--man=no", str(spoiled)).stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_calls_a_unit_s_exposure_low(unit: Path) -> None:
    """Systemd's own scale goes from 0 to 10; services without any hardening have 9.6, those below 2 it calls OK."""
    done = analyze("security", "--offline=true", "--no-pager", "--json=short", "--threshold=20", str(unit))
    exposed = [item["name"] for item in json.loads(done.stdout) if item["exposure"] and float(item["exposure"]) >= 0.2]
    assert done.returncode == 0, exposed
