"""The exporter: receivers, books, collectors and web pages on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import platform
import time
from collections.abc import Callable, Mapping
from functools import partial

from msgspec import structs
from starlette.requests import Request

from fleetwatch import __version__, catalogue, places
from fleetwatch.app import outside
from fleetwatch.app.alerts import access_of
from fleetwatch.app.bills import BillCheck
from fleetwatch.app.books import Books
from fleetwatch.app.commits import Commits
from fleetwatch.app.here import bill_sources, domains_of, here_of, pace_of, scrape_sources, sources
from fleetwatch.app.pipelines.thresholds import check_thresholds
from fleetwatch.app.prices import price_book
from fleetwatch.app.signals import told_to_end
from fleetwatch.app.web import web_app
from fleetwatch.collect.here import CommitError, Here
from fleetwatch.collect.runner import Runner, Source
from fleetwatch.dialects import Mappings, SpanMapping, translate_traces
from fleetwatch.ledger import Ledger
from fleetwatch.meter.otlp import export_request
from fleetwatch.meter.text import render
from fleetwatch.receive import HttpServer, Limits, Tls, serve_http
from fleetwatch.receive.door import SignalName
from fleetwatch.receive.grpc import GrpcServer, serve_grpc
from fleetwatch.receive.otlp import TRANSLATORS, Intake, Translate
from fleetwatch.records.agents import AgentRun
from fleetwatch.send.client import Client
from fleetwatch.send.pusher import Pusher
from fleetwatch.settings import Settings, SettingsError

log = logging.getLogger(__name__)

TICK = 1.0
"""Seconds between folding commits into the meter."""
CHECKPOINT = 5.0
"""Seconds between checkpoints of the ledger; bounds the rows that a start folds in again."""
PRUNE = 600.0
"""Seconds between looks for calls that are past their time."""
MORE = 0.25
"""Seconds until work that is not done goes on: senders and scrapes come in between."""
BUDGETS = 5.0
"""Seconds between looks at the budgets."""
STOP_GRACE = 0.5
"""Seconds for requests under way when the process is told to stop."""
WEB_LIMITS = Limits(max_connections=200, max_body_bytes=1 << 16, max_decompressed_bytes=1 << 16)
"""The pages take no bodies and serve a few Prometheus servers and people."""


class Exporter:
    """One running exporter. Raises SettingsError for settings that contradict each other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        _check_limits(settings)
        check_thresholds(settings)
        self._books = Books(settings, price_book(settings))
        self._intake, self._tls = _intake(settings, self._books)
        self._web = HttpServer(self._pages(), settings.web.listen, WEB_LIMITS)
        self._http: HttpServer | None = None
        self._grpc: GrpcServer | None = None
        self._commits = Commits(self._books.sink)
        here = dataclasses.replace(
            here_of(settings),
            alertmanager=access_of(settings),
            acknowledged=self._books.acknowledged,
            commit=self._commits.commit,
        )
        bills = [*bill_sources(settings, here), BillCheck(settings).source()] if here.bills else []
        asked = [*sources(settings, here, *domains_of(settings)), *scrape_sources(settings, here), *bills]
        if settings.spot.enabled and pace_of(settings, "spot_judge").enabled:
            asked.append(_spot_judge(settings, here, self._commits, self._books))
        self._runner = Runner(asked, self._books.meter)
        self._pusher: Pusher | None = None
        self._sink = _sink(settings)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the ledger, listen, begin to collect. Raises SettingsError when an address cannot be had."""
        self._books.writer.open()
        self._commits.open()
        receive = self._settings.receive
        setting, listen = "web.listen", self._settings.web.listen
        try:
            await self._web.start()
            setting, listen = "receive.http.listen", receive.http.listen
            self._http = await serve_http(self._intake, listen, self._tls)
            setting, listen = "receive.grpc.listen", receive.grpc.listen
            self._grpc = await serve_grpc(self._intake, listen, self._tls)
        except OSError as error:
            await self.stop()
            raise SettingsError(outside.refused(setting, listen, error)) from None
        self._runner.start()
        self._start_export()
        self._tasks = [
            asyncio.create_task(_every(TICK, self._books.tick), name="tick"),
            asyncio.create_task(_every(CHECKPOINT, self._books.checkpoint), name="checkpoint"),
            asyncio.create_task(_every(PRUNE, self._books.prune), name="prune"),
            asyncio.create_task(_every(BUDGETS, self._books.show_budgets), name="budgets"),
        ]

    def addresses(self) -> dict[str, str]:
        """Where it really listens, and where its ledger is."""
        scheme = "https" if self._tls else "http"
        found = {"metrics": f"http://{self._web.address}/metrics"}
        if self._http is not None and self._grpc is not None:
            found["otlp-http"] = f"{scheme}://{self._http.address}"
            found["otlp-grpc"] = f"{scheme}://{self._grpc.address}"
        found["ledger"] = str(self._settings.ledger_path)
        return found

    async def run_until_told(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop."""
        await told_to_end()
        await self.stop()

    async def stop(self) -> None:
        """Answer what is under way, write a last checkpoint, close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        ends = [server.stop(STOP_GRACE) for server in (self._http, self._grpc) if server is not None]
        if self._pusher is not None:
            # In a thread: it may be waiting for this loop to make its snapshot.
            ends.append(asyncio.to_thread(self._pusher.stop))
        await asyncio.gather(*ends)
        await self._runner.stop()
        self._books.close()
        await self._web.stop(STOP_GRACE)

    def _pages(self) -> object:
        return web_app(
            scrape=self._scrape,
            trouble=lambda: str(self._books.writer.trouble or ""),
            receivers=lambda: [address for name, address in self.addresses().items() if name.startswith("otlp")],
            runbooks=places.RUNBOOKS,
        )

    def _scrape(self, request: Request) -> tuple[bytes, dict[str, str]]:
        self._books.refresh()
        meter = self._books.meter
        body, headers = render(meter, request.headers.get("accept", ""), request.headers.get("accept-encoding", ""))
        # Only Prometheus sends this header: a person with curl must not end a new series' time at zero.
        if "x-prometheus-scrape-timeout-seconds" in request.headers:
            meter.scraped()
        return body, headers

    def _start_export(self) -> None:
        if self._sink is None:
            return
        loop = asyncio.get_running_loop()
        # The same after a restart, and another for each exporter: else two would push into the same series.
        instance = f"{platform.node()}:{self._web.address.rpartition(':')[2]}"
        resource = {"service.name": "fleetwatch", "service.version": __version__, "service.instance.id": instance}

        async def snapshot() -> bytes:
            self._books.refresh()
            return export_request(self._books.meter, resource, time.time_ns(), __version__)

        self._pusher = Pusher(
            # The store belongs to the loop's thread, the network calls do not.
            lambda: asyncio.run_coroutine_threadsafe(snapshot(), loop).result(timeout=10),
            self._sink,
            self._settings.export.otlp.interval,
        )
        self._pusher.start()


def _sink(settings: Settings) -> Client | None:
    """Where the metrics are pushed to. Raises SettingsError."""
    export = settings.export.otlp
    headers = outside.headers("export.otlp.headers_file", export.headers_file)
    if not export.endpoint:
        return None
    try:
        return Client(export.endpoint, headers, whole=True)
    except ValueError as error:
        raise SettingsError(
            f"export.otlp.{'headers_file' if str(error).startswith('header') else 'endpoint'}: {error}"
        ) from None


def _intake(settings: Settings, books: Books) -> tuple[Intake, Tls | None]:
    limits, token, tls = outside.door(settings)
    return Intake(books.sink, books.own, limits, token, _translators(settings)), tls


def _translators(settings: Settings) -> Mapping[SignalName, Translate]:
    told = [SpanMapping(**structs.asdict(mapping)) for mapping in settings.pipelines.spans]
    return {**TRANSLATORS, "traces": partial(translate_traces, mappings=Mappings(told))} if told else TRANSLATORS


def _spot_judge(settings: Settings, here: Here, commits: Commits, books: Books) -> Source:
    """The source that judges the spot fleet by what the others tell, and tells the ledger."""
    from fleetwatch.app.spot import SpotJudge  # noqa: PLC0415 - only those who ask for it need it

    def ask(work: Callable[[Ledger], object]) -> object:
        def on_loop() -> object:
            ledger = books.writer.ledger
            if ledger is None:
                raise CommitError(str(books.writer.trouble or "the ledger is closed"))
            return work(ledger)

        return commits.ask(on_loop)

    def broken_off() -> list[AgentRun]:
        found = []
        with contextlib.suppress(IndexError):
            while True:
                found.append(books.broken_off.popleft())
        return found

    return SpotJudge(settings, here, ask, broken_off).source(pace_of(settings, "spot_judge"))


def _check_limits(settings: Settings) -> None:
    known = {label.name for _, metric in catalogue.all_metrics() for label in metric.labels if not label.one_of}
    for name in sorted(set(settings.labels.limits) - known):
        raise SettingsError(f"labels.limits.{name}: expected one of {', '.join(sorted(known))}")


async def _every(seconds: float, work: Callable[[], bool | None]) -> None:
    """Do work that returns true when there is more of it."""
    more: bool | None = False
    while True:
        await asyncio.sleep(MORE if more else seconds)
        more = False
        try:
            more = work()
        except Exception:
            log.exception("%s failed; it will be tried again", work.__qualname__)
