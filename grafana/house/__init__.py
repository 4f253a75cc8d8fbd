"""Our taste in boards, and the only importer of grafanalib.

A board's file names its panels and ends with `dashboard = board(...)`, the page as a table of contents.
"""

from grafana.house import units
from grafana.house.board import Board, Variable, board
from grafana.house.colours import ANSWERS, BAD, CONFIDENCES, GOOD, NEUTRAL, OUTCOMES, QUIET, WARN, Limits
from grafana.house.layout import answer, row
from grafana.house.panels import Panel, bars, heatmap, stat, state_timeline, text, timeseries
from grafana.house.promql import RANGE, RATE, Expr, Matches, Not, Recorded, Scope, outside, top, total
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
    "WARN",
    "Board",
    "Column",
    "Expr",
    "Facts",
    "Limits",
    "Matches",
    "Not",
    "Panel",
    "Recorded",
    "Scope",
    "Variable",
    "answer",
    "bars",
    "board",
    "heatmap",
    "outside",
    "row",
    "stat",
    "state_timeline",
    "table",
    "text",
    "timeseries",
    "top",
    "total",
    "units",
]
