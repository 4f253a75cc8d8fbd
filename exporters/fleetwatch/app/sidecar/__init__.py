"""What runs beside applications: this machine's facts, and a spool between the applications and the sink."""

from __future__ import annotations

from fleetwatch.app.sidecar.sidecar import Sidecar

__all__ = ["Sidecar"]
