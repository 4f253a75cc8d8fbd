"""The sidecar: this machine's sources, pages to scrape, and a spool between the applications and the sink."""

from __future__ import annotations

import asyncio
import contextlib
import time

from fleetwatch import __version__
from fleetwatch.app import outside
from fleetwatch.app.here import here_of, host_name, sources
from fleetwatch.app.sidecar.pages import Headers, Pages
from fleetwatch.app.sidecar.relay import Relay
from fleetwatch.app.sidecar.report import Reporter
from fleetwatch.app.signals import told_to_end
from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.runner import Runner
from fleetwatch.meter import Meter
from fleetwatch.meter.otlp import export_request
from fleetwatch.meter.text import render
from fleetwatch.receive import HttpServer, Limits
from fleetwatch.settings import Settings, SettingsError

GOODBYE = 0.4
"""Seconds for the last report; a sink that has not taken it by then gets it from the spool, after the next start."""
STOP_GRACE = 0.2
"""Seconds for requests under way: with all else the process ends within a second."""
WEB_LIMITS = Limits(max_connections=100, max_body_bytes=1 << 16, max_decompressed_bytes=1 << 16)


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
        self._relay = Relay(settings) if settings.sidecar.forward else None
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

    def _start_reports(self, relay: Relay) -> None:
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
            ends.append(self._relay.stop_receiving(STOP_GRACE))
            if self._reporter is not None:
                self._reporter.stop()
                ends.append(self._say_goodbye(self._reporter, self._relay))
        await asyncio.gather(*ends)
        await self._runner.stop()
        if self._relay is not None:
            self._relay.close()

    async def _say_goodbye(self, reporter: Reporter, relay: Relay) -> None:
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
