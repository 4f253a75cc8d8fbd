"""Lists and watches as a Kubernetes API serves them, on loopback, by a server that can be told to misbehave.

What a real one does is tried in tests/stack/test_drain.py; here is what one does not do on demand: forget, fall silent,
break off, refuse, be away.
"""

from __future__ import annotations

import http.server
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from support_clusters import Thing

PATHS = {
    "Node": "/api/v1/nodes",
    "Pod": "/api/v1/pods",
    "PodDisruptionBudget": "/apis/policy/v1/poddisruptionbudgets",
    "Event": "/api/v1/events",
}
END = b""
"""In a watch: it ends in good order."""
BREAK = b"break"
"""In a watch: the connection is cut."""


class KubeApi:
    """Objects, and the watches of them. tokens: those that are let in; empty: everybody is."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        """(path, query) of each request that was let in."""
        self.tokens: set[str] = set()
        self.refuse: dict[tuple[str, str], tuple[int, str]] = {}
        """(path, list or watch) -> status and message."""
        self.expire_pages = 0
        """So many times the rest of a list is forgotten."""
        self.mute = False
        """New watches say nothing, and do not end."""
        self._version = 100
        self._objects: dict[str, dict[str, Thing]] = {path: {} for path in PATHS.values()}
        self._watches: dict[str, list[queue.Queue[bytes]]] = {path: [] for path in PATHS.values()}
        self._past: dict[str, list[tuple[int, bytes]]] = {path: [] for path in PATHS.values()}
        self._lock = threading.Lock()
        self._server: http.server.ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kubeconfig(self, file: Path, **user: Any) -> Path:
        """A file by which clients come in. user: who they are, as a kubeconfig says it."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "here", "user": user}],
        }
        file.write_text(json.dumps(config))
        return file

    def put(self, thing: Thing, *, tell: bool = True) -> Thing:
        """New, or changed. tell False: no watch hears of it."""
        path = PATHS[thing["kind"]]
        with self._lock:
            self._version += 1
            key = self._key(thing)
            known = key in self._objects[path]
            meta = {"uid": f"uid-{key}", **thing["metadata"], "resourceVersion": str(self._version)}
            thing = {**thing, "metadata": meta}
            self._objects[path][key] = thing
            if tell:
                self._tell(path, "MODIFIED" if known else "ADDED", thing)
        return thing

    def drop(self, thing: Thing, *, tell: bool = True) -> None:
        path = PATHS[thing["kind"]]
        with self._lock:
            self._version += 1
            gone = self._objects[path].pop(self._key(thing))
            gone["metadata"]["resourceVersion"] = str(self._version)
            if tell:
                self._tell(path, "DELETED", gone)

    def bookmark(self, kind: str) -> None:
        with self._lock:
            self._tell(PATHS[kind], "BOOKMARK", {"metadata": {"resourceVersion": str(self._version)}})

    def forget(self, kind: str) -> None:
        """Running watches are told that their past is gone."""
        with self._lock:
            self._tell(PATHS[kind], "ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})

    def say(self, kind: str, line: bytes) -> None:
        """Any bytes into running watches; END and BREAK end them."""
        with self._lock:
            for watch in self._watches[PATHS[kind]]:
                watch.put(line)

    def watching(self, kind: str) -> int:
        """Watches that run."""
        with self._lock:
            return len(self._watches[PATHS[kind]])

    def count(self, kind: str, verb: str) -> int:
        """Requests so far; pages of a list count once each."""
        path = PATHS[kind]
        return sum(item[0] == path and (("watch" in item[1]) == (verb == "watch")) for item in list(self.asked))

    def _key(self, thing: Thing) -> str:
        return f"{thing['metadata'].get('namespace', '')}/{thing['metadata']['name']}"

    def _tell(self, path: str, kind: str, thing: Thing) -> None:
        line = json.dumps({"type": kind, "object": thing}).encode() + b"\n"
        if kind != "ERROR":
            self._past[path].append((self._version, line))
        for watch in self._watches[path]:
            watch.put(line)

    def page(self, path: str, query: dict[str, str]) -> tuple[int, Thing]:
        with self._lock:
            if "continue" in query and self.expire_pages > 0:
                self.expire_pages -= 1
                return 410, {"kind": "Status", "code": 410, "message": "The provided continue parameter is too old"}
            objects = [self._objects[path][key] for key in sorted(self._objects[path])]
            start, limit = int(query.get("continue", "0")), int(query.get("limit", "0")) or len(objects)
            more = {"continue": str(start + limit)} if start + limit < len(objects) else {}
            meta = {"resourceVersion": str(self._version), **more}
            return 200, {"kind": "List", "metadata": meta, "items": objects[start : start + limit]}

    def open(self, path: str, since: int) -> queue.Queue[bytes]:
        """A watch, and in it what has happened after a version."""
        with self._lock:
            watch: queue.Queue[bytes] = queue.Queue()
            for version, line in self._past[path]:
                if version > since:
                    watch.put(line)
            self._watches[path].append(watch)
            return watch

    def shut(self, path: str, watch: queue.Queue[bytes]) -> None:
        with self._lock:
            self._watches[path].remove(watch)

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Be away: nobody listens, and watches break off."""
        for kind in PATHS:
            self.say(kind, BREAK)
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _handler(api: KubeApi) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query))
            verb = "watch" if "watch" in query else "list"
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if api.tokens and token not in api.tokens:
                self._answer(401, {"kind": "Status", "code": 401, "message": "Unauthorized"})
                return
            api.asked.append((parts.path, query))
            if (parts.path, verb) in api.refuse:
                status, message = api.refuse[parts.path, verb]
                self._answer(status, {"kind": "Status", "code": status, "message": message})
            elif verb == "watch":
                self._watch(parts.path, int(query["resourceVersion"]))
            else:
                self._answer(*api.page(parts.path, query))

        def _answer(self, status: int, body: Thing) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _watch(self, path: str, since: int) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            watch = api.open(path, since)
            try:
                while True:
                    line = watch.get()
                    if line == BREAK:
                        self.close_connection = True
                        return
                    if api.mute and line != END:
                        continue
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    if line.startswith(b'{"type": "ERROR"'):
                        self.wfile.write(b"0\r\n\r\n")  # the end of the answer
                        return
                    if line == END:
                        return
            except OSError:
                self.close_connection = True  # the other side has gone
            finally:
                api.shut(path, watch)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler


@contextmanager
def kube_api() -> Iterator[KubeApi]:
    api = KubeApi()
    api.start()
    try:
        yield api
    finally:
        api.stop()
