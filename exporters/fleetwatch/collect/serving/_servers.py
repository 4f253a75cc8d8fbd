"""What the sources of servers have in common: ask all at once, one that is silent hurts no other."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from fleetwatch.catalogue import serving
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import Incomplete, NoData
from fleetwatch.collect.serving._address import Address, address_of
from fleetwatch.collect.serving._ask import NoAnswer, metrics_of
from fleetwatch.collect.serving._exposition import Point, points
from fleetwatch.collect.serving._window import Window

AT_ONCE = 8
"""Servers asked at one time."""


class Family:
    """The samples of one foreign metric, by its name there."""

    def __init__(self, found: Iterable[Point]) -> None:
        self._points: dict[str, list[Point]] = defaultdict(list)
        for point in found:
            self._points[point.name].append(point)

    def of(self, names: Iterable[str], suffix: str = "") -> list[Point]:
        """The samples of the first of these names that there is: one thing has had several over the versions."""
        return next((self._points[name + suffix] for name in names if name + suffix in self._points), [])


class Servers(ABC):
    """Servers of one kind. kind: as in the settings; path: of their metrics, where the address has none."""

    kind: ClassVar[str]
    path: ClassVar[str]
    names: ClassVar[Collection[str]]
    """Metrics that are read; of a histogram the buckets."""

    def __init__(self, here: Here) -> None:
        targets = here.scrape.get(self.kind)
        self._token_file = targets.token_file if targets is not None else None
        self._addresses = [address_of(url, self.path) for url in (targets.urls if targets is not None else ())]
        self._windows: dict[str, Window] = defaultdict(Window)
        self._clock = time.monotonic

    @abstractmethod
    def read(self, server: str, family: Family) -> Iterator[Sample]:
        """What a server's metrics are called here."""

    def __call__(self) -> Iterator[Sample]:
        """Raises Incomplete for servers that did not answer."""
        if not self._addresses:
            raise NoData
        failures = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(self._ask, self._addresses))
        for (_, server, _), answer in zip(self._addresses, answers, strict=True):
            if isinstance(answer, Exception):
                failures.append(str(answer))
                yield serving.UP(0, server=server)
            else:
                yield serving.UP(1, server=server)
                yield from self.read(server, answer)
        if failures:
            raise Incomplete("; ".join(failures))

    def _ask(self, address: Address) -> Family | Exception:
        try:
            return Family(points(metrics_of(address, self._token_file), self.names))
        except NoAnswer as error:
            return error
        except ValueError as error:
            return ValueError(f"{address.server}: {error}")

    def quantiles(self, metric: Metric, server: str, found: Iterable[Point], model: str) -> Iterator[Sample]:
        """A histogram's buckets as quantiles by model. model: the label that tells it."""
        by_model: dict[str, dict[float, float]] = {}
        for point in found:
            buckets = by_model.setdefault(point.labels.get(model, ""), {})
            bound = float(point.labels.get("le", "inf"))
            buckets[bound] = buckets.get(bound, 0) + point.value
        for name, buckets in sorted(by_model.items()):
            for share, value in self._windows[server].quantiles((metric.name, name), buckets, self._clock()):
                yield metric(value, server=server, model=name, quantile=share)


def summed(found: Iterable[Point], *labels: str) -> Mapping[tuple[str, ...], float]:
    """Sums of samples by some of their labels, in order of the labels' values."""
    sums: dict[tuple[str, ...], float] = defaultdict(float)
    for point in found:
        sums[tuple(point.labels.get(label, "") for label in labels)] += point.value
    return dict(sorted(sums.items()))
