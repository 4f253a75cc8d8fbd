"""Our taste in boards, and the only importer of grafanalib.

A board's file names its panels and ends with `dashboard = board(...)`, the page as a table of contents.
"""

from grafana.house import units
from grafana.house.board import Board, Variable, board
from grafana.house.colours import ANSWERS, BAD, CONFIDENCES, GOOD, NEUTRAL, OUTCOMES, QUIET, WARN, Limits, Scale
from grafana.house.grids import gantt, matrix, side_by_side, status_history
from grafana.house.layout import answer, row
from grafana.house.links import RowLink
from grafana.house.matchers import Choice, Matches, Not
from grafana.house.panels import Panel, bars, heatmap, stat, state_timeline, text, timeseries
from grafana.house.promql import (
    RANGE,
    RATE,
    STEP,
    Expr,
    Scope,
    first,
    joined,
    outside,
    top,
    total,
)
from grafana.house.recorded import Recorded
from grafana.house.tables import Column, Facts, table

__all__ = [
    "ANSWERS",
    "BAD",
    "CONFIDENCES",
    "GOOD",
    "NEUTRAL",
    "OUTCOMES",
    "QUIET",
    "RANGE",
    "RATE",
    "STEP",
    "WARN",
    "Board",
    "Choice",
    "Column",
    "Expr",
    "Facts",
    "Limits",
    "Matches",
    "Not",
    "Panel",
    "Recorded",
    "RowLink",
    "Scale",
    "Scope",
    "Variable",
    "answer",
    "bars",
    "board",
    "first",
    "gantt",
    "heatmap",
    "joined",
    "matrix",
    "outside",
    "row",
    "side_by_side",
    "stat",
    "state_timeline",
    "status_history",
    "table",
    "text",
    "timeseries",
    "top",
    "total",
    "units",
]
