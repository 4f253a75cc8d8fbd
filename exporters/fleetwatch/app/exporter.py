"""The exporter: receivers, writer, meter, collectors and web pages on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from pathlib import Path

from opentelemetry.sdk.resources import Resource
from starlette.requests import Request

from fleetwatch import __version__, places
from fleetwatch.app import llm_series
from fleetwatch.app.own_series import OwnSeries
from fleetwatch.app.web import web_app
from fleetwatch.app.writer import Writer
from fleetwatch.catalogue import exporter, llm
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect import Runner, source_names
from fleetwatch.collect.runner import Pace, load
from fleetwatch.ledger import Ledger, LedgerError
from fleetwatch.ledger.budgets import Budget, BudgetBook
from fleetwatch.ledger.usage import Usage
from fleetwatch.meter import Meter
from fleetwatch.meter.otlp import Pusher, metrics_data
from fleetwatch.meter.text import render
from fleetwatch.receive import GrpcServer, HttpServer, Intake, Limits, OtlpHttp, Tls, TokenFile
from fleetwatch.reckon.price import Override, PriceBook
from fleetwatch.settings import Settings, SettingsError

log = logging.getLogger(__name__)

TICK = 1.0
"""Seconds between folding commits into the meter."""
CHECKPOINT = 5.0
"""Seconds between checkpoints of the ledger; bounds the rows that a start folds in again."""
PRUNE = 600.0
"""Seconds between looks for calls that are past their time."""
BUDGETS = 5.0
"""Seconds between looks at the budgets."""
STOP_GRACE = 0.5
"""Seconds for requests under way when the process is told to stop."""


class Exporter:
    """One running exporter. Raises SettingsError for settings that contradict each other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prices = _prices(settings)
        self._meter = Meter(
            limits=settings.labels.limits,
            hold=2 * settings.web.scrape_interval,
            durable=llm_series.DURABLE,
            overflow=exporter.LABEL_OVERFLOW,
        )
        self._own = OwnSeries(self._meter)
        self._writer = Writer(
            self._open_ledger, opened=self._opened, committed=self._own.committed, failed=self._own.failed
        )
        self._budgets: BudgetBook | None = None
        self._duplicates: dict[str, int] = {}
        self._receivers, self._grpc = self._make_receivers()
        self._web = HttpServer(self._web_app(), settings.web.listen, Limits(max_connections=200))
        self._runner = Runner(self._sources(), self._meter)
        self._pusher: Pusher | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the ledger, listen, begin to collect. Raises OSError when an address cannot be had."""
        self._writer.open()
        self._show_prices()
        for server in (self._web, self._receivers, self._grpc):
            try:
                await server.start()
            except OSError as error:
                await self.stop()
                raise OSError(_why_not(server, self._settings, error)) from None
        self._runner.start()
        self._start_export()
        self._tasks = [
            asyncio.create_task(self._every(TICK, self._tick), name="tick"),
            asyncio.create_task(self._every(CHECKPOINT, self._checkpoint), name="checkpoint"),
            asyncio.create_task(self._every(PRUNE, self._prune), name="prune"),
            asyncio.create_task(self._every(BUDGETS, self._show_budgets), name="budgets"),
        ]

    def addresses(self) -> dict[str, str]:
        """Where it really listens."""
        scheme = "https" if self._settings.receive.tls_cert_file else "http"
        return {
            "metrics": f"http://{self._web.address}/metrics",
            "otlp-http": f"{scheme}://{self._receivers.address}",
            "otlp-grpc": f"{scheme}://{self._grpc.address}",
            "ledger": str(self._settings.ledger_path),
        }

    async def run_until_told(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop."""
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        await told.wait()
        await self.stop()

    async def stop(self) -> None:
        """Answer what is under way, write a checkpoint, close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(self._receivers.stop(STOP_GRACE), self._grpc.stop(STOP_GRACE))
        if self._pusher is not None:
            self._pusher.stop()
        await self._runner.stop()
        self._checkpoint()
        self._writer.close()
        await self._web.stop(STOP_GRACE)

    def _make_receivers(self) -> tuple[HttpServer, GrpcServer]:
        receive = self._settings.receive
        if bool(receive.tls_cert_file) != bool(receive.tls_key_file):
            raise SettingsError("receive: tls_cert_file and tls_key_file: expected both or none")
        tls = Tls(receive.tls_cert_file, receive.tls_key_file) if receive.tls_cert_file and receive.tls_key_file else None
        limits = Limits(
            max_body_bytes=receive.max_body_bytes,
            max_decompressed_bytes=receive.max_decompressed_bytes,
            max_connections=receive.max_connections,
            timeout=receive.timeout,
        )
        token = TokenFile(receive.token_file) if receive.token_file else None
        intake = Intake(self._writer.sink, self._own, limits, token)
        return HttpServer(OtlpHttp(intake), receive.http.listen, limits, tls), GrpcServer(intake, receive.grpc.listen, tls)

    def _web_app(self) -> object:
        return web_app(
            scrape=self._scrape,
            trouble=lambda: str(self._writer.trouble or ""),
            receivers=lambda: [address for name, address in self.addresses().items() if name.startswith("otlp")],
            runbooks=places.RUNBOOKS,
        )

    def _sources(self) -> list[object]:
        paces = self._settings.collect
        unknown = sorted(set(paces) - set(source_names()))
        if unknown:
            raise SettingsError(f"collect.{unknown[0]}: expected one of {', '.join(source_names())}")
        found = []
        for name in source_names():
            pace = Pace(**paces[name].model_dump()) if name in paces else Pace()
            if pace.enabled:
                found.append(load(name, pace))
        return found

    def _open_ledger(self) -> Ledger:
        settings = self._settings
        usage = Usage(settings.receive.usage_metrics, settings.receive.usage_metrics_grace)
        return Ledger(settings.ledger_path, self._prices, keep_days=settings.ledger.keep_days, usage=usage)

    def _opened(self, ledger: Ledger) -> None:
        """Rebuild meter and budgets from the ledger, then take what came after its checkpoint."""
        self._meter.released_before = ledger.released()
        for reason in llm.DUPLICATE_REASON.one_of:
            self._meter.add(llm.DUPLICATE_CALLS, (reason,), 0)
        budgets = [Budget(**item.model_dump(exclude={"limit_usd"}), limit=_nano(item.limit_usd)) for item in self._settings.budgets]
        self._budgets = BudgetBook(budgets, ledger, time.time())
        for labels, total in ledger.totals():
            llm_series.count(self._meter, labels, total)
        for name, nano in self._budgets.charged().items():
            self._meter.add(llm.BUDGET_CHARGED, (name,), nano)
        self._take()
        self._show_budgets()

    def _tick(self) -> None:
        self._writer.tick()
        self._take()

    def _take(self) -> None:
        """Move what was committed into the meter and the budgets."""
        ledger = self._writer.ledger
        if ledger is None:
            return
        for labels, total in ledger.take():
            llm_series.count(self._meter, labels, total)
            if self._budgets is not None:
                for name, nano in self._budgets.add(labels, total):
                    self._meter.add(llm.BUDGET_CHARGED, (name,), nano)
        for reason, calls in ledger.duplicates().items():
            self._meter.add(llm.DUPLICATE_CALLS, (reason,), calls - self._duplicates.get(reason, 0))
            self._duplicates[reason] = calls

    def _checkpoint(self) -> None:
        """Write totals, then show series whose birth is now on disk."""
        ledger = self._writer.ledger
        if ledger is None:
            return
        self._take()
        due = self._meter.due()
        try:
            ledger.checkpoint((series.metric.prometheus, series.labels) for series in due)
        except LedgerError as error:
            self._writer.failing(error)
        else:
            self._meter.release(due)

    def _prune(self) -> None:
        ledger = self._writer.ledger
        try:
            while ledger is not None and ledger.prune():
                pass
        except LedgerError as error:
            self._writer.failing(error)

    def _show_prices(self) -> None:
        book = self._prices
        info = llm.PRICES_INFO(1, source=book.source, version=book.version)
        self._meter.replace("prices", [info, llm.PRICES_CHECKED(book.checked)])

    def _show_budgets(self) -> None:
        samples: list[Sample] = []
        if self._budgets is not None:
            samples = self._budgets.samples(time.time())
        self._meter.replace("budgets", samples)

    def _scrape(self, request: Request) -> tuple[bytes, dict[str, str]]:
        self._take()
        self._own.refresh(self._writer)
        body, headers = render(
            self._meter, request.headers.get("accept", ""), request.headers.get("accept-encoding", "")
        )
        # Only Prometheus sends this header: a person with curl must not end a new series' time at zero.
        if "x-prometheus-scrape-timeout-seconds" in request.headers:
            self._meter.scraped()
        return body, headers

    def _start_export(self) -> None:
        export = self._settings.export.otlp
        if not export.endpoint:
            return
        loop = asyncio.get_running_loop()
        resource = Resource({"service.name": "fleetwatch", "service.version": __version__})

        async def snapshot() -> object:
            self._take()
            self._own.refresh(self._writer)
            return metrics_data(self._meter, resource, time.time_ns(), __version__)

        self._pusher = Pusher(
            lambda: asyncio.run_coroutine_threadsafe(snapshot(), loop).result(timeout=10),
            export.endpoint,
            export.interval,
            _headers(export.headers_file),
        )
        self._pusher.start()

    async def _every(self, seconds: float, work: object) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                work()
            except Exception:
                log.exception("%s failed; it will be tried again", work)


def _prices(settings: Settings) -> PriceBook:
    overrides = [Override(**item.model_dump()) for item in settings.prices.overrides]
    try:
        return PriceBook(overrides, settings.prices.models)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _nano(usd: object) -> int:
    return int(usd * 10**9)


def _headers(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    pairs = (line.partition(":") for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}
