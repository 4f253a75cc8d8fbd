"""The sidecar: this machine's sources, pages to scrape, and a spool between the applications and the sink."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time

from fleetwatch import __version__
from fleetwatch.app import outside
from fleetwatch.app.here import here_of, host_name, sources
from fleetwatch.app.sidecar_forward import Forwarder, Sink
from fleetwatch.app.sidecar_intake import SpoolIntake
from fleetwatch.app.sidecar_pages import Headers, Pages
from fleetwatch.app.sidecar_report import Reporter
from fleetwatch.app.signals import told_to_end
from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.runner import Runner
from fleetwatch.meter import Meter
from fleetwatch.meter.otlp import export_request
from fleetwatch.meter.text import render
from fleetwatch.receive import HttpServer, Limits, serve_http
from fleetwatch.receive.count import count_protobuf
from fleetwatch.send.client import Client
from fleetwatch.settings import Settings, SettingsError
from fleetwatch.spool import Spool, SpoolError

log = logging.getLogger(__name__)

GOODBYE = 0.4
"""Seconds for the last report; a sink that has not taken it by then gets it from the spool, after the next start."""
STOP_GRACE = 0.2
"""Seconds for requests under way: with all else the process ends within a second."""
WEB_LIMITS = Limits(max_connections=100, max_body_bytes=1 << 16, max_decompressed_bytes=1 << 16)
HELD = 16 << 20
"""Bytes of requests in memory at once; at least one that is as large as may be is let in."""


class Sidecar:
    """One running sidecar. Raises SettingsError for settings that cannot be followed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name = host_name(settings)
        self._meter = Meter(
            limits=settings.labels.limits,
            most=settings.labels.max_series,
            hold=2 * settings.web.scrape_interval,
            implied={hosts.HOST.name: self._name},
        )
        self._runner = Runner(sources(settings, here_of(settings), "exporter", "hosts"), self._meter)
        self._relay = _Relay(settings) if settings.sidecar.forward else None
        self._reporter: Reporter | None = None
        self._goodbye: float | None = None
        trouble = (lambda: "") if self._relay is None else self._relay.trouble
        self._web = HttpServer(Pages(self._scrape, trouble), settings.web.listen, WEB_LIMITS)

    async def start(self) -> None:
        """Listen, collect, forward. Raises SettingsError when an address cannot be had."""
        setting, listen = "receive.http.listen", self._settings.receive.http.listen
        try:
            if self._relay is not None:
                await self._relay.start()
            # Last, so that /readyz speaks of all that should be open.
            setting, listen = "web.listen", self._settings.web.listen
            await self._web.start()
        except ssl.SSLError as error:
            await self.stop()
            raise SettingsError(f"receive: tls_cert_file and tls_key_file are no pair of PEM files: {error}") from None
        except OSError as error:
            await self.stop()
            raise SettingsError(outside.refused(setting, listen, error)) from None
        except SettingsError:
            await self.stop()
            raise
        self._runner.start()
        if self._relay is not None:
            self._relay.forward()
            self._start_reports(self._relay)

    def _start_reports(self, relay: _Relay) -> None:
        loop = asyncio.get_running_loop()
        self._reporter = Reporter(
            # The store belongs to the loop's thread, the network calls do not.
            lambda: asyncio.run_coroutine_threadsafe(self._snapshot(), loop).result(timeout=10),
            relay.connect,
            relay.sink,
            self._settings.sidecar.interval,
        )
        self._reporter.start()

    def addresses(self) -> dict[str, str]:
        """Where it really listens, and where its spool is."""
        found = {"metrics": f"http://{self._web.address}/metrics"}
        if self._relay is not None:
            found |= self._relay.addresses()
        return found

    async def run_until_told(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop."""
        await told_to_end()
        await self.stop()

    async def stop(self) -> None:
        """Finish requests under way, say goodbye, close the spool; within a second whatever the sink does."""
        ends = [self._web.stop(STOP_GRACE)]
        if self._relay is not None:
            ends.append(self._relay.stop_receiving())
            if self._reporter is not None:
                self._reporter.stop()
                ends.append(self._say_goodbye(self._reporter, self._relay))
        await asyncio.gather(*ends)
        await self._runner.stop()
        if self._relay is not None:
            self._relay.close()

    async def _say_goodbye(self, reporter: Reporter, relay: _Relay) -> None:
        self._goodbye = time.time()
        body = await self._snapshot()
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[bool] = loop.create_future()

        def settle(taken: bool) -> None:
            if not heard.done():
                heard.set_result(taken)

        def hear(taken: bool) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, taken)

        reporter.last(body, GOODBYE, hear)
        done, _ = await asyncio.wait([heard], timeout=GOODBYE)
        if not done or not heard.result():
            relay.keep(body)

    async def _snapshot(self) -> bytes:
        self._refresh()
        resource = {
            "service.name": "fleetwatch-sidecar",
            "service.instance.id": self._name,
            "service.version": __version__,
            "host.name": self._name,
        }
        return export_request(self._meter, resource, time.time_ns(), __version__)

    def _scrape(self, asked: Headers) -> tuple[bytes, Headers]:
        self._refresh()
        return render(self._meter, asked.get("accept", ""), asked.get("accept-encoding", ""))

    def _refresh(self) -> None:
        samples: list[Sample] = []
        if self._relay is not None:
            samples = [hosts.REPORT_INTERVAL(self._settings.sidecar.interval), *self._relay.samples()]
        if self._goodbye is not None:
            samples.append(hosts.GOODBYE(self._goodbye))
        self._meter.replace("sidecar", samples)


class _Relay:
    """Everything between the applications and the sink."""

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

    async def stop_receiving(self) -> None:
        """Finish the requests under way."""
        self._forwarder.stop()
        if self._server is not None:
            await self._server.stop(STOP_GRACE)

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
