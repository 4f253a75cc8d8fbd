"""What every span around a block or a function has in common. What goes wrong in here stays in here."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from contextvars import Token
from types import TracebackType
from typing import Final, Self

from opentelemetry import context, trace
from opentelemetry.trace import Span, Tracer, TracerProvider

from fleetwatch import __version__
from fleetwatch.instrument import names
from fleetwatch.instrument.work import Process

log = logging.getLogger("fleetwatch.instrument")

_LONGEST: Final = 200
"""Characters of a name; the receiver keeps no more."""
_ENDED_ON_PURPOSE: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)


class Entered(ABC):
    """A span that is entered as a block, or piece by piece as generators are.

    Who is entered once more while it is open stays the same, and ends when it is left as often.
    """

    def __init__(self) -> None:
        self._span: Span = trace.INVALID_SPAN
        self._context: context.Context | None = None
        self._token: Token[context.Context] | None = None
        self._generation = -1
        """`Process.generation` in which it began: a child that was forked inside the block holds a copy only."""
        self._entered = 0

    def __enter__(self) -> Self:
        if self._entered and self._generation == Process.generation:  # by a recursion, or by several threads or tasks
            self._entered += 1
            return self
        self._entered = 1
        self.begin()
        self.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        if self._entered < 1:
            self._entered = 0
            self.detach()
            self.end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    @abstractmethod
    def begin(self) -> None:
        """Begin without entering; for what runs in pieces, as generators do."""

    @abstractmethod
    def end(self, error: BaseException | None) -> None:
        """It is over; error: what left it."""

    def attach(self) -> None:
        """Enter: what runs from here on belongs to it."""
        if self._context is not None:
            self._token = context.attach(self._context)

    def detach(self) -> None:
        if self._token is not None:
            context.detach(self._token)
            self._token = None


def short(text: object) -> str:
    """A name as it is sent."""
    try:
        name = str(text)[:_LONGEST]
        # Of a file's name it may be none in UTF-8, and for that the exporter would drop all that goes with it.
        return name if name.isascii() else name.encode("utf-8", "replace").decode()
    except Exception:  # an object of the application whose __str__ fails
        return ""


def error_type(error: BaseException) -> str:
    """`error.type`: the class with its module; what was stopped from outside is cancelled."""
    if isinstance(error, _ENDED_ON_PURPOSE):
        return "cancelled"
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


_told: set[str] = set()


def trouble(where: str, *, quoting: bool = True) -> None:
    """Said once: the application has other things to do, and its log too.

    quoting: with the exception, unless that quotes what the application said.
    """
    if where not in _told:
        _told.add(where)
        log.warning("%s: left out, as are others of this kind", where, exc_info=quoting)


def tracer_of(provider: TracerProvider | None) -> Tracer:
    try:
        return trace.get_tracer(names.SCOPE, __version__, provider)
    except Exception:  # the environment names a provider that cannot be loaded
        log.warning("no spans of agents and pipelines: there is no tracer", exc_info=True)
        return trace.NoOpTracer()
