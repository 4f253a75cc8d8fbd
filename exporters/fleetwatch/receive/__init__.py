"""Push in: OTLP over HTTP and gRPC, with bounds on everything a sender can do."""

from __future__ import annotations

from fleetwatch.receive.errors import BadRequest, Refusal, Throttled, TooLarge, Unavailable
from fleetwatch.receive.grpc import GrpcServer
from fleetwatch.receive.http import OtlpHttp
from fleetwatch.receive.limits import Limits, Tls
from fleetwatch.receive.otlp import Intake, Observer, Sink
from fleetwatch.receive.server import HttpServer
from fleetwatch.receive.token import TokenFile

__all__ = [
    "BadRequest",
    "GrpcServer",
    "HttpServer",
    "Intake",
    "Limits",
    "Observer",
    "Refusal",
    "Sink",
    "Throttled",
    "Tls",
    "TokenFile",
    "TooLarge",
    "Unavailable",
    "serve_grpc",
    "serve_http",
]


async def serve_http(intake: Intake, listen: str, tls: Tls | None = None) -> HttpServer:
    """A started server of OTLP over HTTP; see HttpServer for its address and its stop(). Raises OSError."""
    app = OtlpHttp(intake)
    server = HttpServer(app, listen, intake.limits, tls, busy=app.busy)
    await server.start()
    return server


async def serve_grpc(intake: Intake, listen: str, tls: Tls | None = None) -> GrpcServer:
    """A started server of OTLP over gRPC; see GrpcServer for its address and its stop(). Raises OSError."""
    server = GrpcServer(intake, listen, tls)
    await server.start()
    return server
