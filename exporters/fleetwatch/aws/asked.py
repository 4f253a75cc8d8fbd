"""How each operation of AWS went in each region of each account, for all sources together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fleetwatch.aws.access import Account
from fleetwatch.catalogue import aws
from fleetwatch.catalogue.metric import Sample


class Place(NamedTuple):
    """api: as IAM calls it, `ec2:DescribeInstances`."""

    account: Account
    region: str
    api: str


@dataclass
class _Went:
    requests: int = 0
    throttles: int = 0
    held_back: int = 0
    denied: bool = False
    success: float = 0.0
    """Unix time of the last one; 0: none yet."""

    def add(self, other: _Went) -> None:
        self.requests += other.requests
        self.throttles += other.throttles
        self.held_back += other.held_back
        self.denied |= other.denied
        self.success = max(self.success, other.success)


class Asked:
    """For use by several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._went: dict[Place, _Went] = {}

    def answered(self, place: Place, outcome: str, now: float) -> None:
        """One attempt has ended. outcome: of exporter.API_OUTCOME; now: Unix time."""
        with self._lock:
            went = self._went.setdefault(place, _Went())
            went.requests += 1
            went.throttles += outcome == "throttled"
            if outcome == "ok":
                went.denied, went.success = False, now
            elif outcome == "denied":
                went.denied = True

    def held_back(self, place: Place) -> None:
        """One request was not made, or had to wait."""
        with self._lock:
            self._went.setdefault(place, _Went()).held_back += 1

    def samples(self, name: Callable[[Account], str]) -> Iterator[Sample]:
        """name: how an account is called in series; several ways into one account are one."""
        found: dict[tuple[str, str, str], _Went] = {}
        with self._lock:
            for place, went in self._went.items():
                found.setdefault((name(place.account), place.region, place.api), _Went()).add(went)
        for (account, region, api), went in sorted(found.items()):
            labels = {"account": account, "region": region, "api": api}
            yield aws.REQUESTS(went.requests, **labels)
            yield aws.THROTTLES(went.throttles, **labels)
            yield aws.HELD_BACK(went.held_back, **labels)
            if went.denied:
                yield aws.DENIED(1, **labels)
            if went.success:
                yield aws.LAST_SUCCESS(went.success, **labels)
