"""One kind of object of one cluster: listed page by page, then watched; listed anew only where the API forgot where
we were.

A watch ends after some minutes by its own time limit and is taken up where it was. The API sends a bookmark about once
a minute, so one that is silent for longer is dead, whatever TCP says, and is renewed. After a failure the next try
waits longer each time, with jitter, lest all exporters come at once when the API is back.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import msgspec

from fleetwatch.collect.kubernetes._api import Api, ApiTrouble, Stream
from fleetwatch.collect.kubernetes._objects import Meta, Status

log = logging.getLogger(__name__)

R = TypeVar("R")
"""An object as it is decoded."""

F = TypeVar("F")
"""What is kept of it."""


STEADY = 30.0
"""Seconds after which a watch that fails had gone well."""


MOST_UNREAD = 1000
"""Objects that cannot be read whose reasons are kept."""


class Pace(NamedTuple):
    """Seconds, but for `page`: objects of one page. silence: without a sign, after which a watch is dead."""

    page: int = 500
    list_patience: float = 60.0
    watch: float = 300.0
    silence: float = 150.0
    first_wait: float = 1.0
    longest_wait: float = 60.0


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    next: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    """A part of a list. Its objects are read one by one: one that cannot be read takes no other one with it."""

    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class Resource(NamedTuple, Generic[R]):
    """What is watched. name: as RBAC calls it, without its group; group: empty for the core.

    most: objects of a list that are read; where there are more the list fails, or is cut.
    """

    name: str
    path: str
    raw: type[R]
    group: str = ""
    most: int = 1_000_000
    cut: bool = False

    def permission(self, verb: str) -> str:
        return f"{verb} {self.name}.{self.group}" if self.group else f"{verb} {self.name}"


class Keep(NamedTuple, Generic[R, F]):
    """Who keeps the objects. fact: what is kept of one; replace: all that there are; put: one that is new or changed;
    drop: one that is gone, as it was last.
    """

    fact: Callable[[R], F]
    replace: Callable[[list[F]], None]
    put: Callable[[F], None]
    drop: Callable[[F], None]


class Failure(NamedTuple):
    """What went wrong last. verb: what was tried, list or watch; status: of HTTP, 0 where there was no answer."""

    verb: str
    status: int
    why: str


class _Expired(Exception):  # noqa: N818 - no error: the API keeps its past for some minutes only
    """The API does not know any more what came after the version that we have."""


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Versioned(msgspec.Struct):
    metadata: Meta


class Watch(Generic[R, F]):
    """A thread that keeps somebody up to date with what the API has. Its figures may be read by others at any time."""

    def __init__(
        self, api: Api, resource: Resource[R], keep: Keep[R, F], pace: Pace, clock: Callable[[], float]
    ) -> None:
        self.resource = resource
        self.restarts: Counter[str] = Counter()
        """Cause -> watches that began anew."""
        self.told: float | None = None
        """When the API last told anything; None: never."""
        self.failures: dict[str, Failure] = {}
        """Verb -> why it does not work; empty: all is well."""
        self.synced = threading.Event()
        """All has been listed once, or it was tried in vain."""
        self.unread: dict[str, str] = {}
        """Uid -> why an object cannot be read; it is left out, or stays as it was last read."""
        self.listed = False
        self._api = api
        self._keep = keep
        self._pace = pace
        self._clock = clock
        self._version = ""
        self._stop = threading.Event()
        self._stream: Stream | None = None
        self._page = msgspec.json.Decoder(_Page)
        self._line = msgspec.json.Decoder(_Line)
        self._object = msgspec.json.Decoder(resource.raw)
        self._thread = threading.Thread(target=self._run, name=f"watch {resource.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._stop.set()
        stream = self._stream
        if stream is not None:
            stream.shutdown()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        failed = 0
        while not self._stop.is_set():
            began = time.monotonic()
            wait = 0.0
            try:
                if not self._version:
                    self._list()
                self._watch()
                failed = 0
                continue
            except _Expired:
                self.restarts["expired"] += 1
                self._version = ""
            except ApiTrouble as trouble:
                wait = trouble.wait
            except Exception as error:
                # An object that we cannot read, or a bug: it must not end the thread without a word.
                log.exception("cluster %s: %s cannot be watched", self._api.cluster, self.resource.name)
                self._failed("watch" if self._version else "list", 0, f"{type(error).__name__}: {error}")
                self._version = ""
            # One that had gone well for a while begins anew; one that always breaks off soon is asked less and less.
            failed = 1 if time.monotonic() - began > STEADY else failed + 1
            self.synced.set()
            self._stop.wait(max(wait, self._wait(failed)))

    def _wait(self, failed: int) -> float:
        longest = min(self._pace.longest_wait, self._pace.first_wait * 2.0 ** min(failed - 1, 16))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def _list(self) -> None:
        facts: list[F] = []
        unread: dict[str, str] = {}
        version = following = ""
        try:
            while True:
                query = {"limit": str(self._pace.page)} | ({"continue": following} if following else {})
                page = self._page.decode(self._api.get(self.resource.path, query, self._pace.list_patience))
                facts += (fact for raw in page.items or () for fact in self._read(raw, unread))
                # The first page's version is that of all: later ones are read as of the same moment.
                version = version or page.metadata.resource_version
                following = page.metadata.next
                if not following or (self.resource.cut and len(facts) >= self.resource.most):
                    break
                if len(facts) > self.resource.most:
                    raise ApiTrouble(0, f"expected at most {self.resource.most} objects, got more")
        except ApiTrouble as trouble:
            if trouble.status == 410:
                # It took so long that the API forgot the first page's moment.
                raise _Expired from None
            self._failed("list", trouble.status, trouble.why)
            raise
        self._keep.replace(facts)
        self.unread = unread
        self._version = version
        self.told = self._clock()
        self.listed = True
        self.failures.pop("list", None)
        self.synced.set()

    def _read(self, raw: msgspec.Raw, unread: dict[str, str]) -> list[F]:
        """What is kept of an object; nothing of one that cannot be read. Raises DecodeError for what is no object."""
        try:
            return [self._keep.fact(self._object.decode(raw))]
        except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
            meta = msgspec.json.decode(raw, type=_Versioned).metadata
            if len(unread) < MOST_UNREAD:
                unread[meta.uid] = f"{meta.name}: {error}"[:200]
            return []

    def _watch(self) -> None:
        """Until the watch ends. Raises _Expired, ApiTrouble."""
        try:
            self._follow()
        except TimeoutError:
            self.restarts["silent"] += 1
        except ApiTrouble as trouble:
            if self._stop.is_set():
                return
            if trouble.status == 410:
                raise _Expired from None
            self.restarts["failed"] += 1
            self._failed("watch", trouble.status, trouble.why)
            if trouble.status == 403:
                self._version = ""  # what may be listed is at least known from time to time
            raise

    def _follow(self) -> None:
        query = {
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, int(self._pace.watch * random.uniform(0.8, 1.2)))),  # noqa: S311 - no secret
        }
        began = time.monotonic()
        stream = self._stream = self._api.stream(self.resource.path, query, self._pace.silence)
        self.told = self._clock()
        self.failures.clear()
        try:
            if self._stop.is_set():
                return
            for line in stream:
                if line.strip():
                    self._take(self._line.decode(line))
                    self.told = self._clock()
        finally:
            self._stream = None
            stream.close()
        self.restarts["ended"] += 1
        if time.monotonic() - began < 1 and not self._stop.is_set():
            # A server that ends each watch at once must not be asked a thousand times a second.
            self._stop.wait(self._wait(1))

    def _take(self, line: _Line) -> None:
        if line.type == "BOOKMARK":
            self._version = msgspec.json.decode(line.object, type=_Versioned).metadata.resource_version
            return
        if line.type == "ERROR":
            status = msgspec.json.decode(line.object, type=Status)
            raise ApiTrouble(status.code, status.message)
        meta = msgspec.json.decode(line.object, type=_Versioned).metadata
        self.unread.pop(meta.uid, None)
        found = self._read(line.object, self.unread)
        if line.type == "DELETED":
            if not found:
                raise _Expired  # what it was when it could be read is to go: a list tells what is left
            self._keep.drop(found[0])
        elif line.type in {"ADDED", "MODIFIED"} and found:
            self._keep.put(found[0])
        self._version = meta.resource_version

    def _failed(self, verb: str, status: int, why: str) -> None:
        if verb not in self.failures:
            log.warning("cluster %s: %s: %s", self._api.cluster, self.resource.permission(verb), why)
        self.failures[verb] = Failure(verb, status, why)
