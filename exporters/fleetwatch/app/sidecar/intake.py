"""Applications' telemetry -> the spool, as it came: counted and checked, not decoded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fleetwatch.receive import Door, Limits, SignalName, TokenFile, TooLarge, Unavailable
from fleetwatch.receive.count import count_json, count_protobuf
from fleetwatch.receive.unpack import decompress
from fleetwatch.spool import Spool, SpoolError

log = logging.getLogger(__name__)

RETRY = 5.0
"""Seconds after which a sender may try again when the disk does not take its data."""


class Silent:
    """The observer of a receiver whose answers are not counted: the spool counts what it has accepted."""

    def request(self, signal: str, transport: str, status: str) -> None:
        """Nothing."""

    def rejected(self, signal: str, reason: str, n: int) -> None:
        """Nothing."""

    def skew(self, ns: int) -> None:
        """Nothing."""

    def unknown_version(self, dialect: str, n: int) -> None:
        """Nothing."""


class SpoolIntake(Door):
    """Answers when the request is in the spool; `durable`: and on the disk."""

    def __init__(self, spool: Spool, limits: Limits, token: TokenFile | None, *, durable: bool) -> None:
        super().__init__(Silent(), limits, token)
        self._spool = spool
        self._durable = durable
        self.accepted: Callable[[], None] = lambda: None
        """Called after each request that was accepted."""
        self.trouble = ""
        """Why nothing is accepted at the moment; empty when it is."""

    async def take(self, signal: SignalName, body: bytes, encoding: bytes, *, json: bool = False) -> bytes:
        """The response, that of a sink which took everything. Raises Refusal."""
        plain = decompress(body, encoding, self.limits.max_decompressed_bytes)
        items = count_json(signal, plain) if json else count_protobuf(signal, plain)
        del plain
        if items:
            await self._keep(signal, _kind(encoding, json), body, items)
        return b"{}" if json else b""

    async def _keep(self, signal: SignalName, kind: str, body: bytes, items: int) -> None:
        try:
            self._spool.append(signal, kind, body, items)
            if self._durable:
                await asyncio.wrap_future(self._spool.synced())
        except ValueError:
            raise TooLarge("the body is larger than the spool") from None
        except (SpoolError, OSError) as error:
            if not self.trouble:
                log.warning("senders are asked to come again: %s", error)
            self.trouble = str(error)
            raise Unavailable(RETRY, "the data cannot be written at the moment") from None
        if self.trouble:
            log.info("the spool can be written again")
            self.trouble = ""
        self.accepted()


def _kind(encoding: bytes, json: bool) -> str:
    """One of the spool's encodings."""
    packed = encoding.strip().lower().decode("ascii")
    if packed == "identity":
        packed = ""
    if json:
        return f"json+{packed}" if packed else "json"
    return packed or "identity"
