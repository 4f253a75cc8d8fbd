"""What senders were promised, on disk until the sink has it; bounded, and every loss counted."""

from __future__ import annotations

from fleetwatch.spool.record import ENCODINGS, SIGNALS, Position, Record
from fleetwatch.spool.spool import Spool, SpoolError, SpoolFullError, Stats
from fleetwatch.spool.state import REASONS

__all__ = ["ENCODINGS", "REASONS", "SIGNALS", "Position", "Record", "Spool", "SpoolError", "SpoolFullError", "Stats"]
