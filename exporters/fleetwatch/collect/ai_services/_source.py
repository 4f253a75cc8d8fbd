"""A source of one or several services: asks CloudWatch in every region of every account, and keeps what it learned.

A region that fails hurts only itself: its counters stay as they are, its gauges for KEPT_CYCLES cycles, and
`ai_service_read_until_timestamp_seconds` says how old they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls, Trouble, action
from fleetwatch.aws.session import Aws, Call
from fleetwatch.aws.together import each
from fleetwatch.catalogue import ai_services
from fleetwatch.catalogue.metric import OTHER, Sample
from fleetwatch.collect.ai_services import _store
from fleetwatch.collect.ai_services._cloudwatch import RECENTLY, Query, Reading, list_series, read, requested
from fleetwatch.collect.ai_services._health import Limits
from fleetwatch.collect.ai_services._meaning import Price, Span, Where, facts, statistics
from fleetwatch.collect.ai_services._pricing import pricing
from fleetwatch.collect.ai_services._select import Found, Series, chosen
from fleetwatch.collect.ai_services._state import DISCOVER, WINDOW, State, Times
from fleetwatch.collect.ai_services._table import Namespace
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import NoData
from fleetwatch.reckon.price import PriceBook

log = logging.getLogger(__name__)

API = "cloudwatch"

PATIENCE = 120.0
"""Seconds for all regions together; the source's own time-out is a little longer."""


class _Answer(NamedTuple):
    """Of one service in one target."""

    times: Times
    found: list[Found] | None = None
    """None where it was not listed this time."""
    series: list[Series] = []  # noqa: RUF012 - of a tuple, never changed
    reading: Reading | None = None
    trouble: Trouble | None = None


class _Answers(NamedTuple):
    account: str
    by_service: dict[str, _Answer]


class AiSource:
    """Base of the sources; they add their namespaces."""

    namespaces: ClassVar[tuple[Namespace, ...]] = ()

    def __init__(self, here: Here) -> None:
        self._here = here
        self._name = type(self).__module__.rpartition(".")[2]
        self._calls = Calls(self._name)
        self._file = here.state / f"{self._name}.json" if here.state is not None else None
        self._states: dict[tuple[str, Where], State] | None = None
        self._accounts: dict[Target, str] = {}
        self._book: PriceBook | None = None
        # Bounded here and not by the meter alone: of counters past a bound it would show one instead of their sum.
        self._named: dict[str, set[str]] = {"resource": set(), "operation": set()}
        # What was counted as OTHER stays there: its past would be counted again under its own name.
        self._refused: dict[str, set[str]] = {"resource": set(), "operation": set()}
        self._hanging: set[Target] = set()
        self._failed: set[Target] = set()

    def __call__(self) -> Iterator[Sample]:
        aws = self._here.aws
        if aws is None:
            raise NoData
        if self._states is None:
            self._states = self._load()
        self._name_again()
        troubles: list[Trouble] = []
        try:
            targets = aws.targets()
        except Trouble as trouble:
            targets, troubles = [], [trouble]
        # Those that failed come last: they take their time, and the others must not wait for it.
        targets.sort(key=lambda target: target in self._failed)
        answers = each(targets, lambda target: self._ask(aws, target), PATIENCE, self._hanging)
        self._failed = {target for target, answer in answers.items() if not _is_whole(answer)}
        for target, answer in answers.items():
            if isinstance(answer, _Answers):
                self._accounts[target] = answer.account
                troubles += self._take(target, answer)
            else:
                self._missed(target)
                troubles.append(_as_trouble(answer, target))
        self._leave_out(targets)
        troubles += self._save()
        for state in self._states.values():
            yield from state.samples(Limits(*self._here.ai_services.health))
        yield from self._calls.samples()
        if troubles:
            raise incomplete(troubles)

    @property
    def actions(self) -> set[str]:
        """What IAM must have allowed for the requests that were made."""
        return self._calls.actions()

    def _ask(self, aws: Aws, target: Target) -> _Answers:
        """In a thread of its own: it reads states and changes none."""
        account = target.account.name or aws.number(target, self._calls)
        where = Where(account, target.region)
        call = aws.caller(API, target, self._calls, requested)
        answers: dict[str, _Answer] = {}
        unreachable: Trouble | None = None
        for item in self.namespaces:
            answer = answers[item.service] = self._look(item, where, call, unreachable)
            if answer.trouble is not None and answer.trouble.cause == "unreachable":
                unreachable = answer.trouble  # the next would wait as long for nothing
        return _Answers(account, answers)

    def _look(self, namespace: Namespace, where: Where, call: Call, unreachable: Trouble | None) -> _Answer:
        """List what there is, where it is time, and read it; where listing fails, read on what is known."""
        now = self._here.clock()
        state = (self._states or {}).get((namespace.service, where)) or State(namespace.service, where, 0)
        times = state.times(now)
        answer = _Answer(times, series=state.series)
        trouble = unreachable or self._ahead(state, times)
        if trouble is not None:
            return answer._replace(trouble=trouble)
        if not 0 <= now - state.listed < DISCOVER:
            try:
                recently = now - times.start < RECENTLY
                found = [item for name in namespace.names for item in list_series(call, name, recently=recently)]
                answer = answer._replace(found=found, series=chosen(namespace, found))
            except Trouble as trouble:
                answer = answer._replace(trouble=trouble)
                if not state.listed:
                    return answer
        queries = [query for series in answer.series for query in _queries(series)]
        try:
            return answer._replace(reading=read(call, queries, answer.times.start, answer.times.end))
        except Trouble as trouble:
            return answer._replace(trouble=trouble)

    def _ahead(self, state: State, times: Times) -> Trouble | None:
        """What was read by a clock that was ahead cannot be read again, and not be told from what was counted."""
        if times.start < times.end:
            return None
        until, now = (f"{datetime.fromtimestamp(item, UTC):%Y-%m-%dT%H:%MZ}" for item in (state.read_until, times.end))
        why = f"{state.service} in {state.where.region} was read until {until}, and this machine's clock says {now}"
        return Trouble("error", why, f"Set the clock; if it was ahead before, remove {self._file}: counters restart.")

    def _take(self, target: Target, answers: _Answers) -> Iterator[Trouble]:
        assert self._states is not None  # noqa: S101 - loaded before anything is asked
        where = Where(answers.account, target.region)
        for namespace in self.namespaces:
            answer = answers.by_service[namespace.service]
            state = self._states.get((namespace.service, where))
            if state is None:
                # Nothing from before the first look is counted: it would look like a burst.
                begun = answer.times.until
                state = State(namespace.service, where, begun=begun, read_until=begun, since=begun)
                self._states[namespace.service, where] = state
            if answer.found is not None:
                state.list_anew(self._here.clock(), answer.found, answer.series)
            if answer.reading is not None:
                self._read(namespace, state, answer.times, answer.reading)
                yield from _problems(answer.reading, target)
            if answer.trouble is not None:
                state.failures += answer.reading is None
                yield answer.trouble

    def _read(self, namespace: Namespace, state: State, times: Times, reading: Reading) -> None:
        values = {self._bounded(query): points for query, points in reading.values.items()}
        meaning = self._here.ai_services.invocations.get(namespace.service, namespace.invocations)
        namespace = namespace._replace(invocations=meaning)
        span = Span(times.until, times.until - WINDOW)
        found = facts(namespace, values, state.where, span, self._price(state.where.region))
        state.take(found, times, reading)

    def _missed(self, target: Target) -> None:
        account = target.account.name or self._accounts.get(target, "")
        for state in (self._states or {}).values():
            if state.where == (account, target.region):
                state.failures += 1

    def _leave_out(self, targets: Sequence[Target]) -> None:
        """Forget what the settings do not name any more, once all accounts that they do name are known."""
        named = {Where(item.account.name or self._accounts.get(item, ""), item.region) for item in targets}
        if named and all(item.account for item in named):
            self._states = {key: state for key, state in (self._states or {}).items() if key[1] in named}

    def _price(self, region: str) -> Price:
        if self._book is None:
            self._book = self._here.prices() if self._here.prices is not None else PriceBook()
        return pricing(self._book, region)

    def _bounded(self, query: Query) -> Query:
        series = query.series
        resource, operation = self._admit("resource", series.resource), self._admit("operation", series.operation)
        if (resource, operation) == (series.resource, series.operation):
            return query
        return query._replace(series=series._replace(resource=resource, operation=operation, model=""))

    def _admit(self, label: str, value: str) -> str:
        named = self._named[label]
        usual = {"resource": ai_services.RESOURCE, "operation": ai_services.OPERATION}[label].at_most
        # One place is kept for OTHER itself.
        room = len(named) < self._here.ai_services.limits.get(label, usual) - 1
        if value in named or (room and value not in self._refused[label]):
            named.add(value)
            return value
        self._refused[label].add(value)
        return OTHER

    def _name_again(self) -> None:
        """The names that have counters; what was forgotten makes room."""
        for named in self._named.values():
            named.clear()
        for state in (self._states or {}).values():
            for metric, labels in state.counts:
                for label, value in zip(metric.label_names, labels, strict=True):
                    if label in self._named and value != OTHER:
                        self._named[label].add(value)

    def _load(self) -> dict[tuple[str, Where], State]:
        states = {}
        for held in _store.load(self._file):
            try:
                state = State.load(held)
            except (KeyError, TypeError, ValueError) as error:
                log.warning("%s: an entry cannot be read and begins at 0: %s", self._file, error)
                continue
            states[state.service, state.where] = state
        return states

    def _save(self) -> list[Trouble]:
        try:
            _store.save(self._file, [state.dump() for state in (self._states or {}).values()])
        except OSError as error:
            why = f"{self._file}: counters cannot be kept over a restart: {error.strerror}"
            return [Trouble("error", why, "Give the program the right to write there, or space.")]
        return []


def _is_whole(answer: _Answers | Exception) -> bool:
    return isinstance(answer, _Answers) and all(item.trouble is None for item in answer.by_service.values())


def _queries(series: Series) -> list[Query]:
    column = series.column
    if column.kind == "duration":
        return [Query(series, statistic, period) for statistic, period in statistics(column.part)]
    return [Query(series, column.statistic)]


def _problems(reading: Reading, target: Target) -> Iterator[Trouble]:
    fix = "Allow cloudwatch:GetMetricData for these metrics' owner." if reading.forbidden else ""
    permission = action(API, "GetMetricData") if reading.forbidden else ""
    for problem in reading.problems:
        yield Trouble("denied" if reading.forbidden else "error", f"{target}: {problem}", fix, permission)


def _as_trouble(error: Exception, target: Target) -> Trouble:
    if isinstance(error, Trouble):
        why = error.why if str(target) in error.why else f"{target}: {error.why}"
        return Trouble(error.cause, why, error.fix, error.permission)
    log.error("%s: %s", target, error, exc_info=error)
    return Trouble("error", f"{target}: {type(error).__name__}: {error}", "")
