"""A loopback stub of the OpenAI API: chat (plain, streamed, refused for its rate) and embeddings, with fixed usage."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

CACHED = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920},
}
"""The API's documented example of prompt caching."""
STREAMED = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
EMBEDDED = {"prompt_tokens": 8, "total_tokens": 8}
CHAT_MODEL = "gpt-4o-2024-08-06"
EMBEDDING_MODEL = "text-embedding-3-small"


class _Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    numbers = itertools.count(1)

    def do_POST(self) -> None:
        asked: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = next(self.numbers)
        if asked["model"] == "busy":
            error = {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}
            self._answer(429, json.dumps({"error": error}).encode())
        elif self.path == "/v1/embeddings":
            data = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
            body = {"object": "list", "model": EMBEDDING_MODEL, "data": data, "usage": EMBEDDED}
            self._answer(200, json.dumps(body).encode())
        elif asked.get("stream"):
            events = [json.dumps(chunk) for chunk in _chunks(number)]
            text = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
            self._answer(200, text.encode(), "text/event-stream")
        else:
            message = {"role": "assistant", "content": "Good morning."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            more = {"object": "chat.completion", "choices": [choice], "usage": CACHED, "service_tier": "default"}
            self._answer(200, json.dumps(_head(number) | more).encode())

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def _head(number: int) -> dict[str, Any]:
    return {"id": f"chatcmpl-AbCdEfGhIjKlMnOpQrSt{number}", "model": CHAT_MODEL, "created": 1_800_000_000}


def _chunks(number: int) -> Iterator[Mapping[str, Any]]:
    """Two words, the end, and the usage that `stream_options.include_usage` asks for."""
    head = _head(number) | {"object": "chat.completion.chunk"}
    for word in ("Good ", "morning."):
        yield head | {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
    yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield head | {"choices": [], "usage": STREAMED}


@contextmanager
def openai_stub() -> Iterator[str]:
    """The base URL of the API until the block ends."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
