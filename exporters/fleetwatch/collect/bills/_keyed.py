"""A bill behind an admin key in a file."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from fleetwatch.catalogue import exporter
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.bills._api import Api, key_of
from fleetwatch.collect.bills._reading import Reading
from fleetwatch.collect.bills._source import BillSource
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import Denied


class KeyedSource(BillSource):
    """Asks with the key as it is in the file at that time, over one connection for each reading."""

    permission: ClassVar[str]
    """What the key must have, as the provider calls it."""
    fix: ClassVar[str]
    """What to do about a key that has it not; the name of the file follows."""

    def __init__(self, here: Here) -> None:
        super().__init__(here)
        self._requests: Counter[tuple[str, str]] = Counter()

    @abstractmethod
    def headers(self, key: str) -> dict[str, str]: ...

    @abstractmethod
    def report(self, api: Api, found: Reading) -> None:
        """Ask for all parts of the bill."""

    def read(self, found: Reading) -> None:
        setting = f"bills.{self.provider}"
        file = self.access.key_file
        api = Api(
            setting,
            self.access.url,
            lambda: self.headers(key_of(f"{setting}.key_file", file)),
            lambda why: Denied(self.permission, why, f"{self.fix} {file}."),
            self._requests,
        )
        try:
            self.report(api, found)
        finally:
            api.close()

    def requests(self) -> Iterator[Sample]:
        for (operation, outcome), times in sorted(self._requests.items()):
            labels = {"collector": self.provider, "api": self.provider, "operation": operation}
            yield exporter.API_REQUESTS(times, **labels, outcome=outcome)
