"""What a source keeps over a restart: one file, replaced whole or not at all, readable by the owner alone."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from fleetwatch.aws.calls import Trouble
from fleetwatch.collect.files import replace

log = logging.getLogger(__name__)

LARGEST = 64 << 20
"""Bytes of a file that is read."""


def load(file: Path | None, version: int) -> dict[str, Any] | None:
    """A JSON object that `save` wrote. One that is damaged or of another version is said, and is none."""
    body = read(file)
    if file is None or body is None:
        return None
    try:
        held = json.loads(body)
        if not isinstance(held, dict) or held.get("version") != version:
            raise ValueError(f"expected version {version}")
    except (ValueError, RecursionError) as error:
        damaged(file, error)
        return None
    return held


def read(file: Path | None) -> bytes | None:
    """The bytes of a file; None without it. One that cannot be read is said."""
    if file is None:
        return None
    try:
        with file.open("rb") as source:
            body = source.read(LARGEST + 1)
        if len(body) > LARGEST:
            raise ValueError(f"expected at most {LARGEST >> 20} MiB")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        damaged(file, error)
        return None
    return body


def damaged(file: Path, error: Exception) -> None:
    log.warning("%s: cannot be read, and is asked for anew: %s: %s", file, type(error).__name__, error)


def save(file: Path | None, held: dict[str, Any], version: int) -> Trouble | None:
    """Keep an object. What went wrong is given back: the source can do without."""
    return write(file, json.dumps({"version": version, **held}, separators=(",", ":")).encode())


def write(file: Path | None, body: bytes) -> Trouble | None:
    if file is None:
        return None
    try:
        replace(file, body)
    except OSError as error:
        why = f"{file}: cannot be kept over a restart: {error.strerror}"
        return Trouble("error", why, "Give the program the right to write there, or space.")
    return None
