"""Models in use, as series: what they take at most, and how they are asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from fleetwatch.catalogue import llm
from fleetwatch.catalogue.metric import Sample
from fleetwatch.meter import Meter
from fleetwatch.reckon.price import Names, PriceBook
from fleetwatch.records.llm import LlmCall

IN_USE = 7 * 86400
"""Seconds after its last call for which a model is in use."""
MOST = 1000
"""Models remembered; more than that are no models but a sender's mistake."""

Model = tuple[str, str]
"""Provider and name."""


class Models:
    """Models that answered lately. A temperature is known from the first call after a start that tells one."""

    def __init__(self, meter: Meter, prices: PriceBook, clock: Callable[[], float] = time.time) -> None:
        self._meter = meter
        self._prices = prices
        self._clock = clock
        self._used: dict[Model, float] = {}
        """When last, Unix seconds."""
        self._windows: dict[Model, str] = {}
        self._temperatures: dict[Model, float] = {}

    def use(self, provider: str, model: str, at: float | None = None) -> None:
        """Note that a model answered; at: Unix seconds, now if not told."""
        key = (provider, model)
        if key in self._used or len(self._used) < MOST:
            self._used[key] = max(self._used.get(key, 0.0), self._clock() if at is None else at)

    def take(self, calls: Iterable[LlmCall]) -> None:
        """Note what calls asked for."""
        for call in calls:
            if call.temperature is not None and call.outcome == "ok":
                self._temperatures[call.provider, call.model] = call.temperature
        if len(self._temperatures) > 2 * MOST:
            self._temperatures = {key: value for key, value in self._temperatures.items() if key in self._used}

    def show(self) -> None:
        """As of now; before each scrape."""
        old = self._clock() - IN_USE
        for key in [key for key, at in self._used.items() if at < old]:
            del self._used[key]
            self._windows.pop(key, None)
            self._temperatures.pop(key, None)
        samples: list[Sample] = []
        for provider, model in sorted(self._used):
            window = self._window(provider, model)
            samples.append(llm.MODEL_INFO(1, provider=provider, model=model, context_window=window))
            temperature = self._temperatures.get((provider, model))
            if temperature is not None:
                samples.append(llm.MODEL_TEMPERATURE(temperature, provider=provider, model=model))
        self._meter.replace("models", samples)

    def _window(self, provider: str, model: str) -> str:
        """Tokens as the price table has them; empty for a model that it does not know by this name."""
        window = self._windows.get((provider, model))
        if window is None:
            match = self._prices.match(Names(provider, model))
            known = match.model.context_window if match is not None and match.exact else None
            window = self._windows[provider, model] = str(known) if known else ""
        return window
