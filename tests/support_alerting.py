"""An Alertmanager on loopback that tells what a real one told, or what none would. The real one runs in tests/stack.

Recorded from 0.25.0 and 0.34.2: nightly's P01 was acknowledged after some nine minutes and P02 was not, a host was
silenced for maintenance, slow calls were muted by failing ones, and a strange alert tried to speak to terminals.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

RECORDINGS = Path(__file__).parent / "fixtures" / "alerting"
VERSIONS = ("0.25", "0.34")
NOW = 1_795_297_000.0
"""Unix time, minutes after the recordings."""


def recording(what: str, version: str = "0.34") -> str:
    """`alerts` or `silences`."""
    return (RECORDINGS / f"{what}-{version}.json").read_text(encoding="utf-8")


class Told:
    """texts: path under /api/v2 -> what it tells; status: how it answers; asked: (path, Authorization) so far."""

    def __init__(self, version: str = "0.34", status: int = 200) -> None:
        self.texts: dict[str, str] = {f"/{what}": recording(what, version) for what in ("alerts", "silences")}
        self.status = status
        self.asked: list[tuple[str, str | None]] = []
        self.drips = threading.Event()
        """Set: it tells one byte at a time, for ever."""
        self._over = threading.Event()
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told.asked.append((self.path, self.headers["Authorization"]))
                text = told.texts.get(self.path.rpartition("/api/v2")[2])
                self.send_response(told.status if text is not None else 404)
                self.send_header("Location", "/elsewhere")
                if told.drips.is_set():
                    self.end_headers()
                    while not told._over.wait(0.02):
                        self.wfile.write(b" ")
                    return
                body = (text or "").encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # whoever asked gave up

        self._http = Server(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def tell(self, **texts: str) -> None:
        """alerts, silences: JSON."""
        self.texts |= {f"/{what}": text for what, text in texts.items()}

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._http.shutdown()
        self._http.server_close()


def silence(
    number: int, start: str, end: str, *, comment: str = "acknowledged: x", **labels: str
) -> Mapping[str, object]:
    """A silence as Alertmanager tells it. start, end: of 2026-11-21, `21:30`. State: as of the recordings."""
    return {
        "id": f"00000000-0000-0000-0000-{number:012}",
        "status": {"state": "active" if end > "21:36" else "expired"},
        "matchers": [{"name": name, "value": value, "isRegex": False} for name, value in labels.items()],
        "startsAt": f"2026-11-21T{start}:00.000Z",
        "endsAt": f"2026-11-21T{end}:00.000Z",
        "createdBy": "jane",
        "comment": comment,
    }
