"""AWS' Spot Advisor: how often a type is interrupted in a region, and what it saves, in AWS' own coarse words.

spot_advisor_interruption_bucket{region="us-east-1",instance_type="m7g.large",os="Linux"} 1
spot_advisor_savings_ratio{region="us-east-1",instance_type="m7g.large",os="Linux"} 0.61
spot_advisor_age_seconds 4200

The file is public, asked for a few times a day, and kept over restarts. One that looks otherwise than it did is no
advice: the last good one stays, and grows old.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fleetwatch.aws.calls import Trouble
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import NoData, source
from fleetwatch.collect.spot import _advice, _kept
from fleetwatch.collect.spot._ask import demand, shown
from fleetwatch.collect.spot._download import LARGEST, Failed, Seen, download

FRESH = 6 * 3600.0
"""Seconds from one question to the next; AWS changes the file about once a day."""
FIRST_PAUSE, LONGEST_PAUSE = 300.0, 3600.0
"""Seconds to the next try after a failure, doubled each time."""
VERSION = 1
_FIX = "Let the exporter reach it, or give it as spot.advisor_file, or set spot.advisor_url to nothing."


@source(interval=60, timeout=90)
class SpotAdvisor:
    """Most cycles ask nothing."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._started = False
        self._seen = Seen()
        self._read_at = 0.0
        """When the advice was last told to be as it is, Unix seconds; of a file, when it was written."""
        self._tried = self._pause = 0.0
        self._trouble: Trouble | None = None
        self._unkept: Trouble | None = None

    def __call__(self) -> Iterator[Sample]:
        """Raises NoData where there is nothing to read it from, Incomplete where that failed."""
        access = self._here.spot
        if access is None or not (access.advisor_file or access.advisor_url):
            raise NoData
        if access.advisor_file is not None:
            self._read_file(access.advisor_file)
        else:
            if not self._started:
                self._load(access.advisor_url)
            self._ask(access.advisor_url)
        self._started = True
        yield from self._samples()
        troubles = [trouble for trouble in (self._trouble, self._unkept) if trouble is not None]
        if troubles:
            raise incomplete(troubles)

    def _read_file(self, file: Path) -> None:
        """When it has changed."""
        try:
            written = file.stat().st_mtime
            if written == self._tried:
                return
            with file.open("rb") as source:
                body = source.read(LARGEST + 1)
        except OSError as error:
            why = f"spot.advisor_file: {file} cannot be read: {error.strerror}"
            self._trouble = Trouble("error", why, "Put the file there.")
            return
        self._tried = written
        try:
            if len(body) > LARGEST:
                raise ValueError(f"expected at most {LARGEST >> 20} MiB, got more")
            self._take(body, written)
            self._trouble = None
        except ValueError as error:
            self._trouble = Trouble("error", f"spot.advisor_file: {file}: {error}", "Take AWS' file as it is.")

    def _ask(self, url: str) -> None:
        now = self._here.clock()
        good = self._trouble is None and self._read_at <= now < self._read_at + FRESH
        waits = self._trouble is not None and self._tried <= now < self._tried + self._pause
        if good or waits:
            return
        self._tried = now
        try:
            came = download(url, self._seen)
            if came.body is not None:
                self._take(came.body, now)
        except (Failed, ValueError) as error:
            why = f"spot.advisor_url: {error}" if isinstance(error, Failed) else f"spot.advisor_url: {url}: {error}"
            self._trouble = Trouble("unreachable" if isinstance(error, Failed) else "error", why, _FIX)
            self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
            return
        self._trouble, self._pause, self._seen, self._read_at = None, 0.0, came.seen, now
        self._keep(url, came.body)

    def _take(self, body: bytes, at: float) -> None:
        """Replace the advice on the desk by that of the regions that are looked at. Raises ValueError."""
        found = _advice.read(body, int(at * NANO))
        regions = self._regions()
        advice = {key: value for key, value in found.items() if not regions or key[0] in regions}
        self._here.desk.advice = advice
        self._read_at = at

    def _regions(self) -> set[str]:
        """Empty: not known, so all."""
        try:
            return {item.region for item in self._here.aws.targets()} if self._here.aws is not None else set()
        except Trouble:
            return set()

    def _keep(self, url: str, body: bytes | None) -> None:
        """The file first: one without its note is asked for anew."""
        folder = self._here.state
        if folder is None:
            return
        self._unkept = _kept.write(folder / "spot_advisor.json", body) if body is not None else None
        if self._unkept is None:
            note = {"url": url, "read_at": self._read_at, **self._seen._asdict()}
            self._unkept = _kept.save(folder / "spot_advisor.note.json", note, VERSION)

    def _load(self, url: str) -> None:
        """What an earlier run kept; what is damaged is said, and asked for anew."""
        folder = self._here.state
        if folder is None:
            return
        file = folder / "spot_advisor.note.json"
        note = _kept.load(file, VERSION)
        body = _kept.read(folder / "spot_advisor.json") if note is not None else None
        if note is None or body is None or note.get("url") != url:
            return
        try:
            read_at, seen = float(note["read_at"]), Seen(str(note["etag"]), str(note["modified"]))
            self._take(body, read_at)
        except (KeyError, TypeError, ValueError) as error:
            _kept.damaged(folder / "spot_advisor.json", error)
            return
        self._seen = seen

    def _samples(self) -> Iterator[Sample]:
        advice = self._here.desk.advice
        if not advice:
            return
        yield spot.ADVISOR_AGE(max(0.0, self._here.clock() - self._read_at))
        desk = self._here.desk
        seen = {(region, kind, _system(product)) for region, kind, product in shown(demand(desk), desk)}
        for region, kind, system in sorted(seen):
            told = advice.get((region, kind, system))
            if told is not None:
                labels = {"region": region, "instance_type": kind, "os": system}
                yield spot.ADVISOR_BUCKET(told.bucket, **labels)
                yield spot.ADVISOR_SAVINGS(told.savings, **labels)


def _system(product: str) -> str:
    return "Windows" if product.startswith("Windows") else "Linux"
