"""Alerts fire, hold, end and keep quiet with the newest supported promtool; apart, for a worker of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support_alerts import TESTS
from support_promtool import promtool

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("file", TESTS, ids=lambda file: str(file.name))
def test_alerts_fire_hold_end_and_keep_quiet(file: Path) -> None:
    done = promtool("3.", "test", "rules", file.name, cwd=file.parent)
    assert done.returncode == 0, done.stdout + done.stderr
