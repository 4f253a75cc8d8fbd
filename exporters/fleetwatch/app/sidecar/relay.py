"""Everything between the applications and the sink: the receiver, the spool, the forwarder."""

from __future__ import annotations

import logging
import time

from fleetwatch.app import outside
from fleetwatch.app.sidecar.forward import Forwarder, Sink
from fleetwatch.app.sidecar.intake import SpoolIntake
from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.receive import HttpServer, serve_http
from fleetwatch.receive.count import count_protobuf
from fleetwatch.send.client import Client
from fleetwatch.settings import Settings, SettingsError
from fleetwatch.spool import Spool, SpoolError

log = logging.getLogger(__name__)

HELD = 16 << 20
"""Bytes of requests in memory at once; at least one that is as large as may be is let in."""


class Relay:
    """One sidecar's. Raises SettingsError for settings that cannot be followed."""

    def __init__(self, settings: Settings) -> None:
        sidecar = settings.sidecar
        self._settings = settings
        limits, token, self._tls = outside.door(settings)
        if sidecar.ca_file is not None:
            outside.authorities("sidecar.ca_file", sidecar.ca_file)
        self._headers: dict[str, str] = {}
        client = self._client("sidecar.forward")
        if sidecar.headers_file is not None:
            self._headers = outside.headers("sidecar.headers_file", sidecar.headers_file)
            client = self._client(f"sidecar.headers_file: {sidecar.headers_file}")
        self.sink = Sink(sidecar.forward, self._waiting)
        self._folder = settings.data_dir / "spool"
        try:
            self._spool = Spool(self._folder, sidecar.spool.max_bytes, sidecar.spool.sync, sidecar.spool.sync_interval)
        except SpoolError as error:
            raise SettingsError(f"data_dir: {error}") from None
        limits = limits._replace(max_held_bytes=max(HELD, limits.max_body_bytes))
        self._intake = SpoolIntake(self._spool, limits, token, durable=sidecar.spool.sync == "always")
        self._forwarder = Forwarder(self._spool, client, self.sink, limits.max_decompressed_bytes)
        self._intake.accepted = self._forwarder.more
        self._server: HttpServer | None = None

    async def start(self) -> None:
        """Listen to applications.

        Raises OSError when the address cannot be had, SettingsError where it is the sink's: data would run in a circle.
        """
        self._server = await serve_http(self._intake, self._settings.receive.http.listen, self._tls)
        sink, own = self._settings.sidecar.forward, self._server.address
        if outside.leads_back(sink, own):
            raise SettingsError(f"sidecar.forward: {sink} is this sidecar's own receive.http.listen, {own}")

    def forward(self) -> None:
        """Begin with what is in the spool."""
        self._forwarder.start()

    def connect(self, timeout: float | None) -> Client:
        """A connection to the sink of its own. timeout: seconds, None for the settings' own."""
        sidecar = self._settings.sidecar
        return Client(sidecar.forward, self._headers, sidecar.ca_file, timeout or sidecar.timeout)

    def _client(self, setting: str) -> Client:
        """Raises SettingsError, which blames `setting`."""
        try:
            return self.connect(None)
        except ValueError as error:
            raise SettingsError(f"{setting}: {error}") from None

    def _waiting(self) -> int:
        """Items in the spool."""
        stats = self._spool.stats()
        return sum(stats.accepted.values()) - sum(stats.forwarded.values()) - sum(stats.dropped.values())

    def addresses(self) -> dict[str, str]:
        found = {"spool": str(self._folder), "sink": self._settings.sidecar.forward}
        if self._server is not None:
            found["otlp-http"] = f"{'https' if self._tls else 'http'}://{self._server.address}"
        return found

    def trouble(self) -> str:
        """Why nothing is accepted at the moment; empty when it is."""
        return self._intake.trouble

    def keep(self, body: bytes) -> None:
        """Put an own report into the spool."""
        try:
            self._spool.append("metrics", "identity", body, count_protobuf("metrics", body))
        except (SpoolError, ValueError, OSError) as error:
            log.warning("the last report is lost: %s", error)

    async def stop_receiving(self, grace: float) -> None:
        """Finish the requests under way. grace: seconds for them."""
        self._forwarder.stop()
        if self._server is not None:
            await self._server.stop(grace)

    def close(self) -> None:
        """Nothing is accepted from now on."""
        try:
            self._spool.close()
        except OSError as error:
            log.warning("the spool was not closed well: %s", error)

    def samples(self) -> list[Sample]:
        """The account of the spool, and whether the sink can be reached."""
        stats = self._spool.stats()
        found = [
            hosts.SPOOL_SIZE(stats.size),
            hosts.SPOOL_LIMIT(self._spool.max_bytes),
            hosts.SPOOL_OLDEST(0.0 if stats.oldest is None else max(0.0, time.time() - stats.oldest)),
        ]
        found += [hosts.SPOOL_ACCEPTED(items, signal=name) for name, items in stats.accepted.items()]
        found += [hosts.SPOOL_FORWARDED(items, signal=name) for name, items in stats.forwarded.items()]
        found += [
            hosts.SPOOL_DROPPED(items, signal=name, reason=reason) for (name, reason), items in stats.dropped.items()
        ]
        if self.sink.up is not None:
            found.append(hosts.SINK_UP(1 if self.sink.up else 0))
        return found
