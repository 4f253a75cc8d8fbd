"""What is told when something begins, as events of OpenTelemetry's Logs API, so that it shows while it lasts.

That API is young: where it is missing, or has another form, or nobody has set a provider, nothing is told.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry.util.types import AttributeValue

from fleetwatch import __version__
from fleetwatch.instrument import names
from fleetwatch.instrument.block import trouble

try:
    from opentelemetry import _logs

    _USABLE = {"event_name", "context"} <= inspect.signature(_logs.LogRecord.__init__).parameters.keys()
except ImportError:
    _USABLE = False

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, LoggerProvider


class Events:
    def __init__(self, provider: LoggerProvider | None) -> None:
        self._logger: Logger | None = None
        if _USABLE:
            try:
                self._logger = _logs.get_logger(names.SCOPE, __version__, provider)
            except Exception:  # the environment names a provider that cannot be loaded
                trouble("events")

    def tell(
        self, name: str, at: int, attributes: Mapping[str, AttributeValue], context: otel_context.Context | None
    ) -> None:
        """at: Unix ns; context: with the span that the event belongs to."""
        logger = self._logger
        # NoOpLogger is what the API gives until a provider is set; to make a record for it would be for nothing.
        if logger is None or isinstance(getattr(logger, "_logger", logger), _logs.NoOpLogger):
            return
        logger.emit(
            _logs.LogRecord(
                timestamp=at,
                context=context,
                severity_number=_logs.SeverityNumber.INFO,
                attributes=attributes,
                event_name=name,
            )
        )
