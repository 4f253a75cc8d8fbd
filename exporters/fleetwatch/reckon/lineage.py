"""Runs of jobs and their parts -> runs and phases of pipelines; the ledger remembers the nodes.

A run that no parent is named for is a run of a pipeline, one directly below it a phase, all deeper ones sub-phases of
that phase. What is said of a run comes together in its node, in any order; a report says all that the node knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from fleetwatch.records.lineage import DataUse, Job, LineageEvent
from fleetwatch.records.pipelines import PhaseReport, RunReport, Tally

SOURCE: Final = "openlineage"
MOST_DATASETS: Final = 100
"""Datasets of one run that are counted singly."""
MOST: Final = 10**15
"""Rows, files or bytes of one run; more is a sender's mistake."""
LONGEST: Final = 200
"""Characters of a name."""
_UNKNOWN: Final = "unknown"


class Node(NamedTuple):
    """What is known of the run of a job."""

    run: str
    name: str
    namespace: str
    told: bool
    """Whether it has events of its own; else it is known from its parts."""
    first_seen: int
    seen: int
    """When something of it or of its parts came first and last, by this machine's clock."""
    parent: str = ""
    parent_name: str = ""
    parent_namespace: str = ""
    root: str = ""
    root_name: str = ""
    root_namespace: str = ""
    top: str = ""
    """Id of the run that it is part of, its own where it is one; empty while nobody knows."""
    pipeline: str = ""
    phase: str = ""
    subphase: str = ""
    phase_run: str = ""
    """Id of the phase that it is, or is part of; empty for a run of a pipeline."""
    prefix: str = ""
    """Name of the job that is the phase."""
    sent: int = 0
    state: str = ""
    result: str = ""
    error_type: str = ""
    started: int | None = None
    """As told; of one that tells nothing itself the beginning of its first part."""
    ended: int | None = None
    judged: bool = False
    """Whether its end was not told, but follows from its parts'."""
    attempt: int = 1
    version: str = ""
    data: tuple[DataUse, ...] = ()
    items_in: int = 0
    items_out: int = 0
    files: int = 0
    size: int = 0
    """Sums of `data`."""
    due: int | None = None
    """When something must be decided about it without further news."""

    @property
    def is_run(self) -> bool:
        return self.top == self.run

    @property
    def is_phase(self) -> bool:
        return self.phase_run == self.run


Sums = tuple[int, int, int, int]
"""Items in, items out, files, bytes."""


def merged(node: Node | None, event: LineageEvent, now: int) -> Node:
    """The node after an event of its own. In whatever order events come, and however often, the same comes out."""
    if node is None:
        node = Node(*event.me, told=True, first_seen=now, seen=now)
    elif not node.told:
        # Its beginning is its own word, too, and may still come.
        node = node._replace(name=event.me.name, namespace=event.me.namespace, told=True, started=None, due=None)
    if node.judged:  # its own word holds
        node = node._replace(judged=False, state="executing", result="", ended=None)
    if event.parent is not None and not node.parent:
        node = node._replace(
            parent=event.parent.run, parent_name=event.parent.name, parent_namespace=event.parent.namespace
        )
    if event.root is not None and not node.root:
        node = node._replace(root=event.root.run, root_name=event.root.name, root_namespace=event.root.namespace)
    data = _with(node.data, event.data)
    return _state(node, event)._replace(
        seen=now,
        sent=max(node.sent, event.at),
        attempt=max(node.attempt, event.attempt),
        version=max(node.version, event.version),
        started=earlier(node.started, event.at if event.begins else None),
        data=data,
        items_in=_sum(use.items_in for use in data),
        items_out=_sum(use.items_out for use in data),
        files=_sum(use.files for use in data),
        size=_sum(use.size for use in data),
    )


def _state(node: Node, event: LineageEvent) -> Node:
    """An end beats everything, of two ends the later one."""
    if event.state != "ended":
        return node._replace(state=event.state) if event.state and not node.state else node
    if node.state == "ended" and (node.ended or 0, node.result, node.error_type) > (
        event.at,
        event.result,
        event.error_type,
    ):
        return node
    return node._replace(state="ended", result=event.result, ended=event.at, error_type=event.error_type)


def _with(known: tuple[DataUse, ...], told: tuple[DataUse, ...]) -> tuple[DataUse, ...]:
    """The most that was told of each dataset."""
    if not told:
        return known
    found = {use.dataset: use for use in known}
    for use in told:
        key = use.dataset if use.dataset in found or len(found) < MOST_DATASETS else "rest"
        before = found.get(key, DataUse(key))
        found[key] = DataUse(key, *map(max, before[1:], use[1:]))
    return tuple(sorted(found.values()))


def _sum(numbers: Iterable[int]) -> int:
    return min(sum(numbers), MOST)


def earlier(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def untold(job: Job, now: int) -> Node:
    """The node of a run that is known from its parts alone."""
    return Node(*job, told=False, first_seen=now, seen=now, state="executing")


def as_run(node: Node, pipeline: str) -> Node:
    return node._replace(top=node.run, pipeline=pipeline, phase="", subphase="", phase_run="", prefix="", due=None)


def below(parent: Node, node: Node) -> Node:
    """The node in its place below a parent that has its own."""
    placed = node._replace(top=parent.top, pipeline=parent.pipeline, due=None)
    if parent.is_run:
        name = without(node.name, parent.name)
        return placed._replace(phase=name, subphase="", phase_run=node.run, prefix=node.name)
    name = without(node.name, parent.prefix)
    return placed._replace(phase=parent.phase, subphase=name, phase_run=parent.phase_run, prefix=parent.prefix)


def without(name: str, prefix: str) -> str:
    """`dag.task` without `dag.`; a name that has another beginning, or nothing else, stays."""
    rest = name.removeprefix(prefix)
    return rest[1:] if rest is not name and len(rest) > 1 and rest[0] in "./:" else name


def pipeline_name(name: str, namespace: str) -> str:
    """The name of a pipeline where another namespace has the plain one."""
    return f"{name[: LONGEST // 2]} ({namespace})"[:LONGEST]


def reports(node: Node, parts: Sums = (0, 0, 0, 0)) -> list[RunReport | PhaseReport]:
    """All that is known of a node that has its place. parts: sums of what is below a phase.

    A run that tells itself what it read and wrote has these in a phase of its own name: phases count items.
    """
    own = (node.items_in, node.items_out, node.files, node.size)
    if not node.is_run:
        # What a task's Spark job wrote is the task's. Where both tell it, it is the same data.
        items = tuple(map(max, own, parts)) if node.is_phase else own
        return [_phase(node, node.phase, items)]
    found: list[RunReport | PhaseReport] = [
        RunReport(
            pipeline=node.pipeline,
            run=node.run,
            version=node.version,
            **_how(node),
        )
    ]
    return [*found, _phase(node, node.name, own)] if any(own) else found


def _phase(node: Node, name: str, items: tuple[int, ...]) -> PhaseReport:
    failed = node.result == "failure" and not node.judged
    items_in, items_out, files, size = items
    return PhaseReport(
        pipeline=node.pipeline,
        run=node.top,
        execution=node.run,
        phase=name,
        subphase=node.subphase,
        attempt=node.attempt,
        tally=Tally(
            items_in=items_in,
            items_out=items_out,
            artifacts=files,
            artifact_bytes=size,
            errors=((node.error_type or _UNKNOWN, 1),) if failed else (),
        ),
        **_how(node),
    )


def _how(node: Node) -> dict[str, Any]:
    """Fields of a report, of a run or a phase, that say how it stands."""
    return {
        "at": _at(node),
        "state": node.state,
        "result": node.result,
        "reason": _reason(node),
        "error_type": node.error_type,
        "started": node.started if node.told else None,
        "ended": node.ended,
        "source": "judged" if node.judged else SOURCE,
    }


def _at(node: Node) -> int:
    """What is known from its parts was there when the first of them began; that is no word about its own beginning."""
    return node.sent if node.told or node.judged or node.started is None else node.started


def _reason(node: Node) -> str:
    if node.state != "ended":
        return ""
    if node.result == "success":
        return "completed"
    if node.judged:
        return "phase"
    return "exception" if node.error_type else "reported"


def judged(node: Node, parts: Iterable[tuple[str, str, int]]) -> Node:
    """The node ended as its parts did. parts: (name, result, when it ended); of one name the last one counts."""
    last: dict[str, tuple[int, str]] = {}
    for name, result, ended in parts:
        last[name] = max(last.get(name, (0, "")), (ended, result))
    results = {result for _, result in last.values()}
    bad = next((result for result in ("failure", "cancellation") if result in results), "success")
    ended = max((at for at, _ in last.values()), default=node.sent)
    return node._replace(state="ended", result=bad, ended=ended, sent=max(node.sent, ended), judged=True, due=None)
