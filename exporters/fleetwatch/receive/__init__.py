"""Push in: OTLP over HTTP and gRPC, with bounds on everything a sender can do.

What is named here loads neither protobuf nor gRPC, so that the sidecar stays small. The exporter's intake, which
decodes, is in `receive.otlp`; the gRPC server in `receive.grpc`.
"""

from __future__ import annotations

from fleetwatch.receive.door import Door, Observer, SignalName
from fleetwatch.receive.errors import BadRequest, Refusal, Throttled, TooLarge, Unavailable
from fleetwatch.receive.http import OtlpHttp
from fleetwatch.receive.limits import Limits, Tls
from fleetwatch.receive.server import HttpServer
from fleetwatch.receive.token import TokenFile

__all__ = [
    "BadRequest",
    "Door",
    "HttpServer",
    "Limits",
    "Observer",
    "OtlpHttp",
    "Refusal",
    "SignalName",
    "Throttled",
    "Tls",
    "TokenFile",
    "TooLarge",
    "Unavailable",
    "serve_http",
]


async def serve_http(intake: Door, listen: str, tls: Tls | None = None) -> HttpServer:
    """A started server of OTLP over HTTP; see HttpServer for its address and its stop(). Raises OSError."""
    app = OtlpHttp(intake)
    server = HttpServer(app, listen, intake.limits, tls, busy=app.busy)
    await server.start()
    return server
