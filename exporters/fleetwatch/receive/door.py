"""What every intake has: bounds, the token, and an account of the bodies in memory. What it does with them differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

from fleetwatch.receive.errors import NotHere, TooLarge, Unavailable
from fleetwatch.receive.limits import Limits
from fleetwatch.receive.token import TokenFile

SignalName = Literal["traces", "metrics", "logs"]


class Observer(Protocol):
    """Told of every answer. Called in the event loop: it must not block."""

    def request(self, signal: str, transport: str, status: str) -> None: ...
    def rejected(self, signal: str, reason: str, n: int) -> None: ...
    def skew(self, ns: int) -> None: ...
    def unknown_version(self, dialect: str, n: int) -> None: ...


class Door(ABC):
    """Takes requests of all signals; one for all transports, so that their bounds are common."""

    def __init__(self, observer: Observer, limits: Limits, token: TokenFile | None) -> None:
        self.limits = limits
        self.observer = observer
        self._token = token
        self._held = 0

    @abstractmethod
    async def take(self, signal: SignalName, body: bytes, encoding: bytes, *, json: bool = False) -> bytes:
        """The response, in the language of the request, when the body is safe. Raises Refusal."""

    async def take_lineage(self, body: bytes, encoding: bytes) -> bytes:  # noqa: ARG002 - for those that take them
        """The answer to OpenLineage's events in JSON, when what is good of them is safe. Raises Refusal."""
        raise NotHere("OpenLineage's events are not taken here; send them to the exporter (fleetwatch run)")

    def admit(self, authorization: bytes | None) -> None:
        """Raises Unauthorized unless the sender shows the token, if one is asked for."""
        if self._token is not None:
            self._token.check(authorization)

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes of one body while it is in memory: `hold(size)` for each part.

        Raises TooLarge past the bound of one body, Unavailable past the bound of all together.
        """
        mine = 0

        def hold(size: int) -> None:
            nonlocal mine
            mine += size
            self._held += size
            if mine > self.limits.max_body_bytes:
                raise TooLarge(f"the body is larger than {self.limits.max_body_bytes} bytes")
            if self._held > self.limits.max_held_bytes:
                raise Unavailable(1.0, "too many requests are arriving at once")

        try:
            yield hold
        finally:
            self._held -= mine
