"""What a phase counts while it is under way.

Several threads may count at once, and no count is lost: each is added under the phase's own lock, which is free nearly
always and then takes a tenth of a microsecond. The same thread can take it twice, for a signal's handler may come in
between.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from typing import Final, Literal

from fleetwatch.instrument import names
from fleetwatch.instrument.block import error_type, short, trouble
from fleetwatch.instrument.work import Process

_LARGEST: Final = (1 << 63) - 1
"""The largest number that OTLP carries."""
_MOST_NAMES: Final = 50
"""Types of errors, and signals, of one phase; the others are `_other`."""
_LONGEST: Final = 100
_numbers: Final = itertools.count()


class Counting:
    """Counts of a phase; those of its parts are in them."""

    def __init__(self, outer: Counting | None = None, expected: int | None = None) -> None:
        self._lock = threading.RLock()
        self._outer = outer
        self._number = next(_numbers)
        self._began_in = Process.generation
        self.items_in = self.items_out = self.warnings = self.artifacts = self.artifact_bytes = 0
        self.expected: int | None = None if expected is None else max(0, whole(expected, "expect"))
        self.errors: dict[str, int] = {}
        self.signals: dict[str, float] = {}

    def items(self, n: int = 1, direction: Literal["out", "in"] = "out") -> None:
        """So many items more are done, or have come in."""
        if type(n) is not int or type(direction) is not str:
            n, direction = whole(n, "items"), short(direction)  # type: ignore[assignment]  # looked at below
        if n <= 0 or self._began_in != Process.generation:
            return
        if direction == "out":
            with self._lock:
                self.items_out += n
        elif direction == "in":
            with self._lock:
                self.items_in += n
        else:
            trouble("direction of items, neither in nor out", quoting=False)
        if self._outer is not None:
            self._outer.items(n, direction)

    def expect(self, n: int) -> None:
        """It will have put out so many items when it is done."""
        n = whole(n, "expect")
        if self._here() and n >= 0:
            self.expected = n

    def error(self, kind: str | BaseException = "error", n: int = 1) -> None:
        """Something went wrong, and the phase goes on. kind: an exception, or a word for it, but no text."""
        name = error_type(kind) if isinstance(kind, BaseException) else short(kind)
        if isinstance(kind, BaseException) and not self._first_time(kind):
            return
        n = whole(n, "error")
        if n > 0:
            self._add_error(name[:_LONGEST] or "error", n)

    def warning(self, n: int = 1) -> None:
        n = whole(n, "warning")
        if n > 0 and self._here():
            with self._lock:
                self.warnings += n
            if self._outer is not None:
                self._outer.warning(n)

    def artifact(self, path: str | os.PathLike[str] | None = None, *, size: int | None = None) -> None:
        """It made something that lasts: a file, whose size is looked up, or anything else with a size in bytes.

        Neither its name nor what is in it is told.
        """
        if size is None:
            try:
                size = os.stat(path).st_size if path is not None else 0
            except Exception:  # it is elsewhere by now, or an address of something else
                size = 0
        self._add_artifact(max(0, whole(size, "artifact")))

    def signal(self, name: str, value: float) -> None:
        """A value of the domain as it is now, like a pressure."""
        self._put(name, value, add=False)

    def count(self, name: str, n: float = 1) -> None:
        """So many more of something of the domain."""
        self._put(name, n, add=True)

    # --- for this package

    def _here(self) -> bool:
        """A copy in a forked child counts nothing: nobody reads it, and its lock may be held for ever."""
        return self._began_in == Process.generation

    def _first_time(self, error: BaseException) -> bool:
        """Whether it is new to this phase: what was counted inside a block and then leaves it counts once."""
        try:
            seen: tuple[int, ...] = getattr(error, "_fleetwatch_counted_in", ())
            if self._number in seen:
                return False
            # On the exception itself: to hold it here would keep alive all that its traceback has.
            outer = self._outer
            counted = (*seen, self._number) if outer is None else (*seen, self._number, outer._number)
            error._fleetwatch_counted_in = counted  # type: ignore[attr-defined]
        except Exception:
            trouble("errors that cannot be marked as counted")
        return True

    def _add_error(self, name: str, n: int) -> None:
        if not self._here():
            return
        with self._lock:
            name = _let_in(self.errors, name)
            self.errors[name] = self.errors.get(name, 0) + n
        if self._outer is not None:
            self._outer._add_error(name, n)

    def _add_artifact(self, size: int) -> None:
        if not self._here():
            return
        with self._lock:
            self.artifacts += 1
            self.artifact_bytes += size
        if self._outer is not None:
            self._outer._add_artifact(size)

    def _put(self, name: str, value: float, *, add: bool) -> None:
        try:
            value = float(value)
        except Exception:
            trouble("signals that are no numbers", quoting=False)
            return
        if not math.isfinite(value) or not self._here():
            return
        name = short(name)[:_LONGEST]
        with self._lock:
            name = _let_in(self.signals, name)
            total = self.signals.get(name, 0.0) + value if add else value
            if math.isfinite(total):
                self.signals[name] = total
        if self._outer is not None:
            self._outer._put(name, value, add=add)


def whole(value: object, where: str) -> int:
    """0 for what is no number."""
    try:
        return min(_LARGEST, int(value))  # type: ignore[call-overload,no-any-return]  # whatever came: a number of numpy too
    except Exception:
        trouble(f"{where}: not a number", quoting=False)
        return 0


def _let_in(known: dict[str, int] | dict[str, float], name: str) -> str:
    return name if name in known or len(known) < _MOST_NAMES else names.OTHER


def fit(value: int) -> int:
    """A count as OTLP can carry it."""
    return min(_LARGEST, value)
