"""What the exporter shows: landing page, /metrics, /healthz, /readyz, runbooks."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from fleetwatch import __version__

_HEADERS = {
    # Nothing here runs scripts or loads anything from elsewhere.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>fleetwatch {version}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}}
code{{background:#eee;padding:.1em .3em}}</style>
<h1>fleetwatch {version}</h1><p>{state}</p>
<ul><li><a href="/metrics">/metrics</a> for Prometheus</li>
<li><a href="/healthz">/healthz</a> is the process alive</li>
<li><a href="/readyz">/readyz</a> does it accept data</li></ul>
<p>Send OpenTelemetry here:</p><ul>{receivers}</ul>
<h2>Runbooks</h2><ul>{runbooks}</ul></html>"""


def web_app(
    *,
    scrape: Callable[[Request], tuple[bytes, dict[str, str]]],
    trouble: Callable[[], str],
    receivers: Callable[[], list[str]],
    runbooks: Path,
) -> Starlette:
    """The ASGI application.

    scrape: body and headers of a scrape; trouble: why data is not accepted now, empty when it is; receivers:
    addresses of the receivers; runbooks: folder of NAME.md files.
    """

    async def metrics(request: Request) -> Response:
        body, headers = scrape(request)
        return Response(body, headers=headers)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        why = trouble()
        return PlainTextResponse(f"{why}\n" if why else "ready\n", status_code=503 if why else 200)

    names = sorted(file.stem for file in runbooks.glob("*.md"))

    async def landing(_: Request) -> Response:
        page = _PAGE.format(
            version=__version__,
            state=html.escape(trouble() or "Ready: data is accepted."),
            receivers="".join(f"<li><code>{html.escape(address)}</code></li>" for address in receivers()),
            runbooks="".join(f'<li><a href="/runbooks/{name}">{name}</a></li>' for name in names),
        )
        return HTMLResponse(page, headers=_HEADERS)

    async def runbook(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in names:
            return PlainTextResponse("no such runbook; / lists them\n", status_code=404)
        return FileResponse(runbooks / f"{name}.md", media_type="text/plain; charset=utf-8", headers=_HEADERS)

    routes = [
        Route("/", landing),
        Route("/metrics", metrics),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/runbooks/{name}", runbook),
    ]
    return Starlette(routes=routes)
