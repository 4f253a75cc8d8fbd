"""Recorded machines: the kernel's files under tests/fixtures/hosts/NAME/{proc,sys}, and what sources say of them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect import Here, Incomplete
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition

MACHINES = Path(__file__).parent / "fixtures" / "hosts"


def machine(name: str, copy_to: Path | None = None) -> Here:
    """A machine of the fixtures; with copy_to, a copy of it that a test may change."""
    folder = MACHINES / name
    if copy_to is not None:
        folder = Path(shutil.copytree(folder, copy_to / name, symlinks=True))
    return Here(name=name, proc=folder / "proc", sys=folder / "sys", root=folder)


def collected(samples: Iterable[Sample]) -> tuple[list[Sample], str]:
    """What a source reports, as the runner shows it, and what it says has failed."""
    found: list[Sample] = []
    try:
        for sample in samples:
            found.append(sample)  # noqa: PERF402 - what came before a failure counts
    except Incomplete as error:
        return found, str(error)
    return found, ""


def page(samples: Iterable[Sample]) -> str:
    """The samples as a scrape shows them. Raises Incomplete where a source does."""
    meter = Meter(implied={"host_name": "here"})
    meter.replace("test", samples)
    return exposition(meter, openmetrics=False)


def values(samples: Iterable[Sample], metric: Metric) -> dict[tuple[str, ...], float]:
    """Labels without the host's -> value."""
    return {sample.labels[1:]: sample.value for sample in samples if sample.metric is metric}


class Space(NamedTuple):
    """What statvfs said when the machine was recorded."""

    f_frsize: int
    f_blocks: int
    f_bfree: int
    f_bavail: int
    f_files: int
    f_ffree: int
    f_favail: int


class RecordedSpace:
    """statvfs of a recorded machine, from its file `statvfs`: lines of a path and the counts, or an error's name."""

    def __init__(self, here: Here) -> None:
        self._root = os.fsencode(here.root)
        self.asked: list[bytes] = []
        self._answers: dict[bytes, Space | OSError] = {}
        for line in (here.root / "statvfs").read_text(encoding="utf-8").splitlines():
            words = line.rsplit(" ", 7)
            if len(words) == 8:
                self._answers[words[0].encode()] = Space(*map(int, words[1:]))
            else:
                path, name = line.rsplit(" ", 1)
                self._answers[path.encode()] = OSError(getattr(errno, name), name)

    def __call__(self, path: bytes) -> Space:
        """Raises the recorded error; ENOENT for a path that was not recorded."""
        inner = b"/" + path.removeprefix(self._root).strip(b"/")
        self.asked.append(inner)
        answer = self._answers.get(inner, OSError(errno.ENOENT, "not recorded"))
        if isinstance(answer, OSError):
            raise answer
        return answer
