"""Render the stack's files for containers: `python -m fleetwatch.stack FOLDER`, run once by docker-compose.yml."""

from __future__ import annotations

import sys
from pathlib import Path

from fleetwatch.settings import SettingsError, load
from fleetwatch.stack import StackError
from fleetwatch.stack.render import COMPOSE, keep_secret, render


def main(out: Path) -> int:
    """Exit status. The Grafana container reads the secrets through a common group."""
    try:
        render(load(), COMPOSE, out / "config")
        for name in ("admin_password", "secret_key"):
            keep_secret(out / "secrets" / name, 0o640)
    except (SettingsError, StackError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
