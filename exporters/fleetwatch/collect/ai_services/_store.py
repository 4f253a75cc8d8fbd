"""A collector's counters on disk, so that a restart is no counter reset and forgets no period.

    {"version": 1, "states": [{"service": "bedrock", "account": "prod", "region": "eu-west-1", …}]}

Written whole after each look, before its figures are shown: what Prometheus has seen is never taken back.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from fleetwatch.collect.files import replace

log = logging.getLogger(__name__)

VERSION = 1


def load(file: Path | None) -> list[dict[str, Any]]:
    """What `save` wrote. A file that is missing, damaged or of another version is none: the counters begin at 0."""
    if file is None:
        return []
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        if held["version"] != VERSION:
            raise ValueError(f"expected version {VERSION}, got {held['version']!r}")
        states: list[dict[str, Any]] = held["states"]
        if not all(isinstance(item, dict) for item in states):
            raise ValueError("expected a list of objects in states")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("%s: cannot be read, counters begin at 0: %s: %s", file, type(error).__name__, error)
        return []
    return states


def save(file: Path | None, states: list[dict[str, Any]]) -> None:
    """Replace the file, whole or not at all, readable by the owner alone. Raises OSError."""
    if file is None:
        return
    replace(file, json.dumps({"version": VERSION, "states": states}, separators=(",", ":")).encode())
