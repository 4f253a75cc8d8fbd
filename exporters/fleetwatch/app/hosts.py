"""Hosts that push: their series while they report, and the roster of who should.

A host's series are one source of the meter, replaced by each report and gone with its goodbye or its silence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fleetwatch.app.hosts_forms import TOLD, Forms, Known, word_of
from fleetwatch.app.pipelines.hosts import Kills, Machine, own_kills
from fleetwatch.catalogue import exporter, hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.ledger.roster import Changes, Request
from fleetwatch.meter import Meter
from fleetwatch.reckon import roster
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.hosts import Form, Host, HostReport
from fleetwatch.settings import Settings

log = logging.getLogger(__name__)

ROSTER = "roster"
COLLECTED = 15 * SECOND
"""Nanoseconds between two looks of a sidecar at its machine (collect/hosts/host.py)."""
_OWN_PROCESS = frozenset({exporter.PROCESS_MEMORY, exporter.PROCESS_CPU, exporter.PROCESS_FILES})
_COLLECTORS = frozenset(
    {
        exporter.COLLECTOR_SUCCESS,
        exporter.COLLECTOR_DURATION,
        exporter.COLLECTOR_LAST_SUCCESS,
        exporter.COLLECTOR_SERIES,
    }
)
_OF_SIDECARS = frozenset(
    {
        hosts.SPOOL_ACCEPTED,
        hosts.SPOOL_FORWARDED,
        hosts.SPOOL_DROPPED,
        hosts.SPOOL_SIZE,
        hosts.SPOOL_LIMIT,
        hosts.SPOOL_OLDEST,
        hosts.SINK_UP,
    }
)
"""No collector has these: a sidecar beside the exporter tells them, and nobody else."""


def source_of(host: str) -> str:
    """The meter's source for a host's series. With a slash: no collector can have the name."""
    return f"host/{host}"


def rules_of(settings: Settings) -> roster.Rules:
    section = settings.roster
    return roster.Rules(
        frozenset(section.expected),
        section.learn,
        int(section.confirm_after * SECOND),
        section.missing_after,
        int(section.forget_after * SECOND),
    )


class _Shape(NamedTuple):
    """What the points of a host's report mean.

    places: of the points that are shown; told: places of those that the roster listens to; kills: places of those
    that count kills for want of memory; rejected: number of the others by reason, and the first one's metric.
    """

    forms: list[Form]
    places: list[int]
    told: list[tuple[int, Known]]
    kills: list[int]
    rejected: dict[str, tuple[int, str]]

    def reject(self, reason: str, metric: str) -> None:
        number, first = self.rejected.get(reason, (0, metric))
        self.rejected[reason] = (number + 1, first)


class Hosts:
    """All hosts that push to this exporter.

    own: the name of this machine. collected: names of the sources that run here; series of theirs must not come twice,
    since Prometheus drops a scrape that says the same series twice.
    """

    def __init__(
        self,
        settings: Settings,
        meter: Meter,
        own: str,
        collected: Iterable[str],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._rules = rules_of(settings)
        self._limits = settings.roster
        self._most = settings.labels.max_series
        self._meter = meter
        self._own = own
        self._whole = settings.host.enabled
        self._collected = frozenset(collected)
        self._proc = settings.host.proc
        self._kills = Kills()
        self._clock = clock
        self._started = clock()
        self._forms = Forms()
        self._hosts: dict[str, Host] = {}
        self._shown: dict[str, int] = {}
        self._shapes: dict[str, _Shape] = {}
        self._unwritten: set[str] = set()
        self._forgotten: set[str] = set()
        self._done = 0
        self._told: set[str] = set()
        for reason in hosts.REPORT_REJECT.one_of:
            meter.add(hosts.REPORTS_REJECTED, (reason,), 0)

    # --- reports

    def take(self, report: HostReport) -> None:
        """Show a report's series and note in the roster that its host is there."""
        if report.strangers:
            self._reject("other_host", report.strangers, report.host)
        before = self._hosts.get(report.host)
        if before is None and not self._has_room(report.host):
            self._reject("too_many_hosts", len(report.forms), report.host)
            return
        shape = self._shapes.get(report.host)
        if shape is None or shape.forms != report.forms:
            shape = self._shape(report)
        values = report.values
        word = word_of(report, [(known, values[place]) for place, known in shape.told])
        host = roster.hear(before, word, self._clock(), self._rules)
        if host is None:
            return
        self._keep(host)
        for place in shape.kills:
            if host.name != self._own:  # of this machine the kernel says it at once
                self._kills.take(host.name, values[place], self._clock())
        if not roster.is_present(host):
            self._hide(host.name)
            return
        for reason, (number, first) in shape.rejected.items():
            self._reject(reason, number, report.host, first)
        is_piece = before is not None and before.sent == report.at
        self._show(report, shape, add=is_piece)

    def _shape(self, report: HostReport) -> _Shape:
        """What the points of a report mean: mostly the same as in the report before."""
        shape = _Shape(report.forms, [], [], [], {})
        is_own = report.host == self._own
        for place, form in enumerate(report.forms):
            known = self._forms.known(form)
            if known is None:
                shape.reject("unknown_metric", form.name)
                continue
            if known[0] in TOLD:
                shape.told.append((place, known))
            elif known[0] is hosts.OOM_KILLS:
                shape.kills.append(place)
            if is_own and self._is_collected_here(known):
                shape.reject("collected_here", form.name)
            else:
                shape.places.append(place)
        return shape

    def _show(self, report: HostReport, shape: _Shape, *, add: bool) -> None:
        source, forms, values = source_of(report.host), report.forms, report.values
        room = self._room(report.host)
        is_whole = not add and len(shape.places) <= room
        if is_whole and self._shapes.get(report.host) is shape:
            # Nothing came or went since the report before: only values move.
            moved = values if len(shape.places) == len(values) else [values[place] for place in shape.places]
            if self._meter.revalue(source, moved):
                return
        samples = []
        for place in shape.places:
            known = self._forms.known(forms[place])
            if known is not None:
                samples.append(Sample(known[0], (report.host, *known[1]), values[place]))
        if add:
            # The same series may be in both pieces, or the same piece may have come twice.
            both = {item[:2]: item for item in (*self._meter.reported_by(source), *samples)}
            samples = list(both.values())
        if len(samples) > room:
            self._reject("too_many_series", len(samples) - room, report.host, samples[room].metric.name)
            samples = samples[:room]
        self._shown[report.host] = self._meter.replace(source, samples)
        if is_whole:
            self._shapes[report.host] = shape
        else:
            self._shapes.pop(report.host, None)

    def _room(self, host: str) -> int:
        """Series that a host may show: its own bound, and what the others leave of what a scrape may hold."""
        others = len(self._meter) - self._shown.get(host, 0)
        return max(0, min(self._limits.max_series, self._most - others))

    def _hide(self, host: str) -> None:
        self._shapes.pop(host, None)
        if self._shown.pop(host, None) is not None:
            self._meter.replace(source_of(host), [])

    def _is_collected_here(self, known: Known) -> bool:
        """Whether a series of this very machine is among what the exporter shows itself."""
        metric, values = known
        if metric in _OF_SIDECARS:
            return False
        return self._whole or metric in _OWN_PROCESS or (metric in _COLLECTORS and values[0] in self._collected)

    def _reject(self, reason: str, series: int, host: str, first: str = "") -> None:
        """Count series that are not shown, and tell once for each reason whose they were. first: the first's metric."""
        self._meter.add(hosts.REPORTS_REJECTED, (reason,), series)
        if reason not in self._told:
            self._told.add(reason)
            level = logging.INFO if reason == "collected_here" else logging.WARNING
            told = f", the first is {first}" if first else ""
            log.log(level, 'series of host "%s" were not taken: %s%s', host, reason, told)

    # --- the roster

    def _has_room(self, name: str) -> bool:
        if name in self._rules.expected or len(self._hosts) < self._limits.max_hosts:
            return True
        oldest = roster.makes_room(list(self._hosts.values()), self._rules)
        if oldest is not None:
            self._forget(oldest.name)
        return oldest is not None

    def _keep(self, host: Host) -> None:
        self._hosts[host.name] = host
        self._unwritten.add(host.name)
        self._forgotten.discard(host.name)

    def _forget(self, name: str) -> None:
        if self._hosts.pop(name, None) is not None:
            self._hide(name)
            self._kills.forget(name)
            self._unwritten.discard(name)
            self._forgotten.add(name)

    def watch(self) -> None:
        """Find out who has fallen silent and whose time in the roster is over, and show the roster as of now."""
        now = self._clock()
        # Also while no run asks: what rose before one began must not look as if it had risen since.
        self._count_own_kills()
        for host in list(self._hosts.values()):
            seen = roster.watch(host, now, self._started, self._rules)
            if seen is not host:
                self._keep(seen)
                self._hide(seen.name)
            if roster.is_past(seen, now, self._rules):
                self._forget(seen.name)
        self._meter.replace(ROSTER, self._samples())

    def _samples(self) -> Iterable[Sample]:
        for host in self._hosts.values():
            yield from _states(host.name, roster.state(host))
            yield hosts.EXPECTED(float(roster.is_expected(host, self._rules)), host_name=host.name)
            yield hosts.LAST_REPORT(host.last_report / SECOND, host_name=host.name)
        absent = self._rules.expected - self._hosts.keys()
        if self._whole and self._own not in self._hosts:
            # This machine is looked at by the exporter itself: it is there as long as anybody can be asked.
            absent -= {self._own}
            yield from _states(self._own, "reporting")
            yield hosts.EXPECTED(1, host_name=self._own)
            yield hosts.LAST_REPORT(self._clock() / SECOND, host_name=self._own)
        for name in sorted(absent):
            yield from _states(name, "never_seen")
            yield hosts.EXPECTED(1, host_name=name)

    def state_of(self, name: str) -> str | None:
        """State of a host as of the last look; None for one that never reported here."""
        host = self._hosts.get(name)
        return None if host is None else roster.state(host)

    def machine(self, name: str) -> Machine | None:
        """What is known of a host as of the last look. This machine is there as long as anybody can ask."""
        if name == self._own:
            self._count_own_kills()
            return Machine("reporting", self._clock(), SECOND, 0, self._kills.seen(name))
        host = self._hosts.get(name)
        if host is None:
            return None
        return Machine(roster.state(host), host.last_report, host.interval, COLLECTED, self._kills.seen(name))

    def _count_own_kills(self) -> None:
        kills = own_kills(self._proc)
        if kills is not None:
            self._kills.take(self._own, kills, self._clock())

    # --- the ledger

    def load(self, known: Iterable[Host]) -> None:
        """Remember what an earlier process knew. What was heard meanwhile is newer, but not how long it is known."""
        for old in known:
            host = self._hosts.get(old.name)
            if host is None and old.name not in self._forgotten:
                self._hosts[old.name] = old
            elif host is not None:
                self._keep(host._replace(first_seen=old.first_seen, confirmed_at=old.confirmed_at or host.confirmed_at))
        self.watch()

    def obey(self, requests: Iterable[Request]) -> None:
        """Do what was asked for at the terminal of hosts, and strike off every request: agents obey, too, before."""
        for number, name, wish in requests:
            host = self._hosts.get(name)
            if wish == "forget":
                self._forget(name)
            elif wish == "confirm" and host is not None and host.confirmed_at is None:
                self._keep(host._replace(confirmed_at=self._clock()))
            self._done = max(self._done, number)

    def changes(self) -> Changes:
        """What the ledger does not know yet."""
        return Changes([self._hosts[name] for name in self._unwritten], list(self._forgotten), self._done)

    def written(self, changes: Changes) -> None:
        """The ledger knows these changes now."""
        self._unwritten.difference_update(host.name for host in changes.hosts)
        self._forgotten.difference_update(changes.forgotten)
        self._done = 0


def _states(name: str, state: str) -> Iterable[Sample]:
    return (hosts.STATE(float(state == value), host_name=name, state=value) for value in hosts.HOST_STATE.one_of)
