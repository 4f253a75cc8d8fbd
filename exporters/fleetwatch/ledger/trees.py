"""Trees of the traces that a group touches: from the file, or from memory where a trace is long and under way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fleetwatch.ledger.traces import AGAIN, DOUBTFUL, SpanRow, Traces
from fleetwatch.reckon.sightings import Sighting, Tree
from fleetwatch.reckon.span_tree import AGENT, CALL, STEP, TOOL, WAITING
from fleetwatch.records.agents import AgentRun, Step, ToolCall

Structure = AgentRun | ToolCall | Step

LARGE = 200
"""Spans from which on a trace stays in memory: reading it for every group would take longer each time."""
MOST_REMEMBERED = 50_000
"""Spans of all such traces together; some 20 MB."""


class Trees:
    """Makes trees where there is something to compare."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._large: dict[bytes, Tree] = {}
        """Least recently used first."""

    def of(
        self, sightings: Mapping[bytes, int], wanted: Iterable[bytes], structure: Sequence[Structure]
    ) -> dict[bytes, Tree]:
        """Trees of the traces that have rows or several sightings, and of those wanted; with the group's structure.

        sightings: how many the group has of each trace.
        """
        wanted = set(wanted)
        found = self._traces.of_many((sightings.keys() | wanted) - self._large.keys())
        trees = {trace: Tree() for trace, number in sightings.items() if number > 1 or trace in self._large}
        trees |= {trace: Tree() for trace in wanted}
        for trace, rows in found.items():
            trees[trace] = grown(rows)
        for trace in trees.keys() & self._large.keys():
            # Taken out and put in again: now it is the last.
            trees[trace] = self._large[trace] = self._large.pop(trace)
        if trees or self._large:
            for item in structure:
                trace = item.span[:16]
                tree = trees.get(trace, self._large.get(trace))
                if tree is not None:
                    _add(tree, item)
        return trees

    def remember(self, trees: Mapping[bytes, Tree]) -> None:
        """Keep the large ones."""
        self._large |= {trace: tree for trace, tree in trees.items() if len(tree) >= LARGE}
        spans = sum(map(len, self._large.values()))
        while spans > MOST_REMEMBERED and len(self._large) > 1:
            spans -= len(self._large.pop(next(iter(self._large))))

    def undo(self) -> None:
        """Drop what is remembered: the file does not have all of it."""
        self._large.clear()


def grown(rows: Iterable[SpanRow]) -> Tree:
    """The tree of a trace's rows."""
    tree = Tree()
    for row in rows:
        if row.kind == STEP:
            tree.add_step(row.span, row.parent)
        elif row.kind in {AGENT, TOOL}:
            tree.add_wall(row.span, row.parent)
        elif row.kind in {CALL, AGAIN, WAITING}:
            counted = row.kind == CALL or (row.kind == AGAIN and row.call != 0)
            place = Sighting(row.span, row.parent, row.start, row.at)
            tree.add(place, row.what, counted=counted, doubtful=row.kind == WAITING and row.flags == DOUBTFUL)
    return tree


def _add(tree: Tree, item: Structure) -> None:
    if type(item) is Step:
        tree.add_step(item.span[16:], item.parent)
    else:
        tree.add_wall(item.span[16:], item.parent)
