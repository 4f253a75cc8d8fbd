"""Bounds of what a sender may do to us."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20


class Limits(NamedTuple):
    max_body_bytes: int = 8 * MIB
    """Largest body as sent."""
    max_decompressed_bytes: int = 20 * MIB
    """Largest body after decompression."""
    max_held_bytes: int = 48 * MIB
    """Bodies in memory at once, all senders together; past it they are asked to come again."""
    max_connections: int = 2000
    """Open at once, each transport for itself. Over HTTP the longest idle one makes room for a new one."""
    timeout: float = 10.0
    """Seconds that a request may take to arrive, and a response to be taken."""
    keep_alive: float = 75.0
    """Seconds that an idle HTTP connection stays open: longer than the 60 s between two exports of metrics."""
    max_head_bytes: int = 64 * 1024
    """Request line and header fields together."""


class Tls(NamedTuple):
    """PEM files of the certificate chain and its key."""

    cert_file: Path
    key_file: Path
