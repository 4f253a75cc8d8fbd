"""Wires the rooms; beside cli/ the only room that knows them all."""

from __future__ import annotations

from fleetwatch.app.exporter import Exporter

__all__ = ["Exporter"]
