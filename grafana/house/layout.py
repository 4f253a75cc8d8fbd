"""Rows of panels. Nobody computes x and y."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

from grafana.house.panels import Panel
from grafanalib import core

COLUMNS = 24


class Row(NamedTuple):
    """Panels side by side under a title; the answer's row has none."""

    title: str
    panels: tuple[Panel, ...]


def row(title: str, *panels: Panel) -> Row:
    return Row(title, panels)


def answer(*panels: Panel) -> Row:
    """The first row: the question's answer in big figures."""
    return Row("", panels)


def place(rows: Sequence[Row]) -> list[Any]:
    """The panels with their places and ids, top to bottom. Raises ValueError when widths do not fit."""
    placed: list[Any] = []
    y = 0
    for line in rows:
        if line.title:
            placed.append(core.RowPanel(title=line.title, gridPos=core.GridPos(h=1, w=COLUMNS, x=0, y=y)))
            y += 1
        height = max(panel.height for panel in line.panels)
        x = 0
        for panel, width in zip(line.panels, _widths(line), strict=True):
            body = copy.copy(panel.body)
            body.gridPos = core.GridPos(h=height, w=width, x=x, y=y)
            placed.append(body)
            x += width
        y += height
    for number, panel in enumerate(placed, start=1):
        panel.id = number
    return placed


def _widths(line: Row) -> list[int]:
    """Panels without a width of their own share what is left evenly; the last ones take the remainder."""
    free = COLUMNS - sum(panel.width for panel in line.panels)
    sharing = sum(1 for panel in line.panels if not panel.width)
    if free < sharing or (free and not sharing):
        raise ValueError(f"row {line.title!r}: widths must fill {COLUMNS} columns")
    widths = []
    for panel in line.panels:
        width = panel.width
        if not width:
            width = free // sharing
            free, sharing = free - width, sharing - 1
        widths.append(width)
    return widths
