"""Where a board leads: to other boards and to runbooks. The stack puts the real addresses of this installation in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

EXPORTER = "http://127.0.0.1:9464"
"""Base of runbook links, as the stack's renderer knows it (`links.exporter` in the settings)."""


def board_url(stem: str) -> str:
    return f"/d/fw-{stem}"


def runbook_url(alert: str) -> str:
    return f"{EXPORTER}/runbooks/{alert}"


def runbook_link(alert: str) -> list[dict[str, Any]]:
    """A panel's link to what to do when its figure is bad."""
    return [{"title": f"Runbook: {alert}", "url": runbook_url(alert), "targetBlank": True}] if alert else []


def series_link(stem: str, labels: Sequence[str]) -> dict[str, Any]:
    """From a series to the board that explains it, for its labels and the time on the screen."""
    return _data_link(stem, {label: f"${{__field.labels.{label}}}" for label in labels})


def cell_link(stem: str, label: str) -> dict[str, Any]:
    """From a table's cell to the board that explains its value."""
    return _data_link(stem, {label: "${__value.text}"})


def _data_link(stem: str, variables: Mapping[str, str]) -> dict[str, Any]:
    chosen = "".join(f"&var-{label}={value}" for label, value in variables.items())
    return {"title": f"Show this {' and '.join(variables)}", "url": f"{board_url(stem)}?${{__url_time_range}}{chosen}"}
