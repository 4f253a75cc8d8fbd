"""A real node_exporter on loopback, and its series under our labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import free_port, wait_for
from support_stack import get, releases, running

Values = dict[tuple[str, ...], float]
"""Labels of one of our metrics, without the host's -> value."""

Expression = Callable[["Scrape"], Values]


class Scrape:
    """What one scrape showed: `scrape[name]` is a list of (labels, value)."""

    def __init__(self, page: str) -> None:
        self._series: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                self._series.setdefault(sample.name, []).append((sample.labels, sample.value))

    def __getitem__(self, name: str) -> list[tuple[dict[str, str], float]]:
        return self._series.get(name, [])


def node_exporter() -> str:
    """Its program; skips the test by name without it."""
    for _, path in releases("prometheus-node-exporter", "node_exporter"):
        return str(path)
    pytest.skip("prometheus-node-exporter is not on this machine")


@contextmanager
def running_node_exporter(folder: Path, flags: Sequence[str] = ()) -> Iterator[Callable[[], Scrape]]:
    """node_exporter until the block ends; what it gives scrapes it."""
    address = f"127.0.0.1:{free_port()}"
    log = folder / "node_exporter.log"
    with running([node_exporter(), f"--web.listen-address={address}", *flags], log):

        def scrape() -> Scrape:
            status, page = get(f"http://{address}/metrics", timeout=20)
            assert status == 200, page
            return Scrape(page)

        wait_for(scrape, 20, f"node_exporter; {log}")
        yield scrape


# --- expressions: how one of our metrics is made of theirs


def plain(name: str, *key: str) -> Expression:
    """A series without labels, under the given values of ours; nothing where it is missing."""
    return lambda scrape: {key: scrape[name][0][1]} if scrape[name] else {}


def summed(key: tuple[str, ...], **signs: int) -> Expression:
    """A sum of series without labels; signs: 1 or -1 for each. Nothing where one is missing."""

    def expression(scrape: Scrape) -> Values:
        parts = [sign * value for name, sign in signs.items() for _, value in scrape[name]]
        return {key: sum(parts)} if len(parts) == len(signs) else {}

    return expression


def by(name: str, labels: Sequence[str], *key: str, wanted: Callable[[str], bool] = lambda _: True) -> Expression:
    """Series summed over all other labels, under the values of these and then the given ones.

    wanted: whether a value of the first label is one that we show.
    """

    def expression(scrape: Scrape) -> Values:
        found: Values = {}
        for theirs, value in scrape[name]:
            if wanted(theirs[labels[0]]):
                place = (*(theirs[label] for label in labels), *key)
                found[place] = found.get(place, 0) + value
        return found

    return expression


def minus(one: Expression, other: Expression) -> Expression:
    """Differences of what both have."""

    def expression(scrape: Scrape) -> Values:
        left, right = one(scrape), other(scrape)
        return {key: left[key] - right[key] for key in left.keys() & right.keys()}

    return expression


def together(*expressions: Expression) -> Expression:
    return lambda scrape: {key: value for expression in expressions for key, value in expression(scrape).items()}


def temperatures(scrape: Scrape) -> Values:
    """Sensors under our names: the device's own name and the sensor's label."""
    labels = {(row["chip"], row["sensor"]): row["label"] for row, _ in scrape["node_hwmon_sensor_label"]}
    found: Values = {
        (row["chip"], labels.get((row["chip"], row["sensor"]), row["sensor"])): value
        for row, value in scrape["node_hwmon_temp_celsius"]
        # Shown once, as a zone; and cores are left out beside their package.
        if "thermal_zone" not in row["chip"] and not labels.get((row["chip"], row["sensor"]), "").startswith("Core ")
    }
    zones: Values = {
        (f"thermal_zone{row['zone']}", row["type"]): value for row, value in scrape["node_thermal_zone_temp"]
    }
    return found | zones


def sensor(hw_id: str) -> tuple[str, str]:
    """Our sensor's name in the spelling of theirs, without what stands before the device there."""
    device, _, label = hw_id.partition("/")
    return re.sub(r"[^a-z0-9:_]", "_", device.lower()), label
