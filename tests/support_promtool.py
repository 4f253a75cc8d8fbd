"""The real promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fleetwatch.places import PROJECT
from support_prometheus import prometheus_program


def promtool(generation: str, *arguments: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Runs the promtool that lies beside its Prometheus."""
    command = [str(Path(prometheus_program(generation)).with_name("promtool")), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=280, check=False)
