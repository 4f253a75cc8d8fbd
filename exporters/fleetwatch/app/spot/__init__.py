"""Judges what the sources of EC2 tell: what spot saves, how sure pools are, where to go instead, what was lost."""

from __future__ import annotations

from fleetwatch.app.spot.judge import SpotJudge

__all__ = ["SpotJudge"]
