"""Every region of every account asked at once, each for itself: one that fails takes nothing from the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws
from fleetwatch.aws.together import each
from fleetwatch.collect.spot._ask import account_of, trouble_of

R = TypeVar("R")


class Where(NamedTuple):
    """account: as in series."""

    account: str
    region: str


class Answers(NamedTuple, Generic[R]):
    found: Mapping[Where, R]
    troubles: list[Trouble]
    failed: frozenset[Where]
    """Those without an answer, as far as their account's name is known."""


class Targets(Generic[R]):
    """What a source keeps from look to look about whom it asks."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._accounts: dict[Target, str] = {}
        self._known: set[Where] = set()
        self._hanging: set[Target] = set()
        self._failed: set[Target] = set()

    def ask(self, aws: Aws, work: Callable[[Target, Where], R], patience: float) -> Answers[R]:
        """What `work` found for each target, in a thread of its own. patience: seconds for all together."""
        try:
            targets = aws.targets()
        except Trouble as trouble:
            return Answers({}, [trouble], frozenset(self._known))
        # Those that failed come last: they take their time, and the others must not wait for it.
        ordered = sorted(targets, key=lambda target: target in self._failed)

        def one(target: Target) -> tuple[Where, R]:
            where = Where(account_of(aws, target, self._calls), target.region)
            return where, work(target, where)

        answers = each(ordered, one, patience, self._hanging)
        found: dict[Where, R] = {}
        troubles: list[Trouble] = []
        failed: set[Where] = set()
        self._failed.clear()
        for target in targets:
            answer = answers[target]
            if isinstance(answer, tuple):
                where, found[where] = answer
                self._accounts[target] = where.account
                self._known.add(where)
                continue
            self._failed.add(target)
            troubles.append(trouble_of(answer, target))
            account = target.account.name or self._accounts.get(target, "")
            if account:
                failed.add(Where(account, target.region))
        return Answers(found, troubles, frozenset(failed))
