"""Where a board leads: to other boards and to runbooks. The stack puts the real addresses of this installation in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

EXPORTER = "http://127.0.0.1:9464"
"""Base of runbook links, as the stack's renderer knows it (`links.exporter` in the settings)."""

ABOUT_ONE = frozenset({"agent", "compare", "heatmap", "host", "run"})
"""Stems of boards that show exactly one of their kind."""


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


class RowLink(NamedTuple):
    """From a row of a table to the board that explains it."""

    stem: str
    title: str
    variables: Mapping[str, str]
    """Variable of that board -> title of the column with its value, a word or a number without decimals."""

    since: str = ""
    until: str = ""
    """Titles of columns with the times, in Unix milliseconds, that the board shows. Without `until` it shows up to now,
    without `since` the times on the screen.
    """

    column: str = ""
    """Variable that takes the title of the column itself."""

    keep: Sequence[str] = ()
    """Variables of this board that the other one has too."""

    def link(self) -> dict[str, Any]:
        chosen = "".join(f"&var-{name}=${{__data.fields[{column!r}].text}}" for name, column in self.variables.items())
        chosen += "".join(f"&${{{name}:queryparam}}" for name in self.keep)
        chosen += f"&var-{self.column}=${{__field.name}}" if self.column else ""
        time = "${__url_time_range}"
        if self.since:
            until = f"${{__data.fields[{self.until!r}].numeric}}" if self.until else "now"
            time = f"from=${{__data.fields[{self.since!r}].numeric}}&to={until}"
        return {"title": self.title, "url": f"{board_url(self.stem)}?{time}{chosen}"}


def _data_link(stem: str, variables: Mapping[str, str]) -> dict[str, Any]:
    chosen = "".join(f"&var-{label}={value}" for label, value in variables.items())
    return {"title": f"Show this {' and '.join(variables)}", "url": f"{board_url(stem)}?${{__url_time_range}}{chosen}"}
