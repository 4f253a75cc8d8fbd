"""Remembers what lost work is joined by: machines that are being taken, and agents' tasks that did not end well.

Both are needed after EC2 has forgotten the machine: what went with it is found out minutes, or a day, later. They are
kept over a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fleetwatch.app.spot.known import LOST_WITHIN, Known
from fleetwatch.app.spot.lost import Marked, lost, names_of
from fleetwatch.app.spot.moves import RUNS
from fleetwatch.app.spot.pools import Pools
from fleetwatch.app.spot.recent import Place
from fleetwatch.app.spot.state import State
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.agents import AgentRun
from fleetwatch.records.spot import Fleet, Instance, LostWork

REMEMBERED = 1800 * SECOND
"""Nanoseconds after its end that a task is remembered: by then its machine's interruption is known."""
MOST = 5000
"""Tasks remembered."""
PRICED_WITHIN = 900 * SECOND
"""Nanoseconds from an interruption's beginning for which work waits for its machine's price: after a start prices are
read some seconds after machines."""


class Losses:
    """state: keeps machines and tasks over a restart."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._told: dict[str, int] = {}
        """Key -> when it was written."""

    def mark(self, known: Known, fleets: Sequence[Fleet], pools: Pools, nodes: Mapping[str, Place]) -> None:
        """Note names and prices of machines that are being taken, as long as they can be known."""
        taken = {item.instance for item in known.interruptions}
        marked = self._state.marked
        for item in [id_ for id_ in marked if id_ not in taken]:
            del marked[item]
        missing = {item for item in taken if item not in marked or marked[item].price is None}
        if not missing:
            return
        machines = {item.id: item for fleet in fleets for item in fleet.instances}
        bearers = _bearers({**known.instances, **machines}.values(), nodes)
        for item in missing:
            # What the ledger saw last has the names that EC2 takes from a machine with its end.
            machine = marked[item].machine if item in marked else known.instances.get(item) or machines.get(item)
            if machine is not None:
                node = nodes[item].node if item in nodes else marked[item].node if item in marked else ""
                others = {name for name in (node, *machine.names) if bearers.get(name, set()) - {item}}
                marked[item] = Marked(machine, pools.price(machine.pool), node, frozenset(others))

    def candidates(self, ended: Sequence[AgentRun], now: int) -> list[AgentRun]:
        """Tasks that may have gone with a machine, the new ones among them."""
        tasks = [*self._state.tasks, *(task for task in ended if task.host and task.outcome != "ok")]
        self._state.tasks = [task for task in tasks if now - task.at <= REMEMBERED][-MOST:]
        marked = self._state.marked.values()
        hosts = {name for item in marked for name in names_of(item)}
        return [task for task in self._state.tasks if task.host in hosts]

    def of(self, known: Known, costs: Mapping[bytes, int], now: int) -> list[LostWork]:
        """Work that went with a machine and was not told. costs: of LLM calls, by the span of a candidate."""
        tasks = [(task, costs[task.span]) for task in self._state.tasks if task.span in costs]
        works = lost(known.interruptions, self._state.marked, known.runs, tasks, done=self._told.__contains__, now=now)
        return [work for work in works if work.machine is not None or now - work.at > PRICED_WITHIN]

    def told(self, works: Sequence[LostWork], now: int) -> None:
        """These are on disk."""
        self._told = {key: at for key, at in self._told.items() if now - at <= 2 * LOST_WITHIN}
        self._told.update((work.key, now) for work in works)


def _bearers(machines: Iterable[Instance], nodes: Mapping[str, Place]) -> dict[str, set[str]]:
    """Name -> ids of machines that run and are called so, in their clusters too."""
    found: dict[str, set[str]] = {}
    for item in machines:
        if item.state in RUNS:
            for name in (*item.names, *([nodes[item.id].node] if item.id in nodes else [])):
                found.setdefault(name, set()).add(item.id)
    return found
