"""The way to one cluster's API: configuration and identity by the `kubernetes` client, answers as they come.

The client's own objects cost ten times the memory and the time of what is kept here, so its lists and watches are not
used. Identities change: a token in a file, the answer of a program (`exec`), a certificate. An answer 401 makes
everything be read anew, once per back-off.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3

from fleetwatch.collect.here import ClusterAccess
from fleetwatch.collect.kubernetes._objects import Status

MOST_BYTES = 128 << 20
"""Of one page of a list. 500 objects are a few megabytes."""

MOST_LINE = 16 << 20
"""Of one line of a watch: one object, of which the API stores at most 1.5 MiB."""

CONNECT = 10.0
"""Seconds to connect."""


class ApiTrouble(Exception):  # noqa: N818 - the API's answer, or that there was none
    """What the API answered instead of data. status: of HTTP, 0 where there was none; wait: seconds that
    it asks for.
    """

    def __init__(self, status: int, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.wait = wait


class Api:
    """Requests to one cluster; for any thread. Nothing is read before the first one."""

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._client: Any = None  # kubernetes.client.ApiClient; the package has no types

    @property
    def cluster(self) -> str:
        """Its name in the settings."""
        return self._access.name

    def get(self, path: str, query: Mapping[str, str], patience: float) -> bytes:
        """A whole answer. patience: seconds without a byte. Raises ApiTrouble."""
        response = self._ask(path, query, patience)
        with contextlib.closing(response):
            try:
                body = response.read(MOST_BYTES + 1)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise ApiTrouble(0, _words(error)) from None
        if len(body) > MOST_BYTES:
            raise ApiTrouble(0, f"{path}: a page has more than {MOST_BYTES >> 20} MiB")
        return body

    def stream(self, path: str, query: Mapping[str, str], patience: float) -> Stream:
        """The lines of an answer that goes on. Raises ApiTrouble, also while it is read; status 0: it broke off."""
        return Stream(self._ask(path, query, patience))

    def _ask(self, path: str, query: Mapping[str, str], patience: float) -> urllib3.BaseHTTPResponse:
        client = self._connected()
        try:
            headers = {"Accept": "application/json", **_identity(client.configuration)}
            response: urllib3.BaseHTTPResponse = client.rest_client.pool_manager.request(
                "GET",
                f"{client.configuration.host}{path}?{urlencode(query)}",
                headers=headers,
                preload_content=False,
                retries=False,
                # The token is for this server alone.
                redirect=False,
                timeout=urllib3.Timeout(connect=CONNECT, read=patience),
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiTrouble(0, _words(error)) from None
        except ValueError:  # its words repeat the header
            raise ApiTrouble(0, "the token has characters that no header may have") from None
        if response.status == 200:
            return response
        with contextlib.closing(response):
            raise self._refused(client, response)

    def _refused(self, client: Any, response: urllib3.BaseHTTPResponse) -> ApiTrouble:
        if response.status == 401:
            with self._lock:
                if self._client is client:  # else another thread has it read anew already
                    self._client = None
        try:
            text = response.read(4096).decode(errors="replace")
        except (urllib3.exceptions.HTTPError, OSError):
            text = ""
        wait = response.headers.get("Retry-After", "")
        why = _message(text) or f"HTTP {response.status}"
        return ApiTrouble(response.status, why, float(wait) if wait.isdigit() else 0.0)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _connect(self._access)
            return self._client


class Stream:
    """Lines that come one by one. Closed from another thread, it ends."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        """Raises TimeoutError where nothing came for too long, ApiTrouble where it broke off."""
        rest = b""
        try:
            for chunk in self._response.stream(1 << 16):
                if b"\n" not in chunk:
                    rest += chunk
                    if len(rest) > MOST_LINE:
                        raise ApiTrouble(0, f"a line of a watch has more than {MOST_LINE >> 20} MiB")
                    continue
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
        except urllib3.exceptions.ReadTimeoutError:
            raise TimeoutError from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ApiTrouble(0, _words(error)) from None

    def shutdown(self) -> None:
        """Wakes whoever waits for a line."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # it has ended by itself
            self._response.shutdown()

    def close(self) -> None:
        self._response.close()


def _connect(access: ClusterAccess) -> Any:
    try:
        from kubernetes import client, config  # noqa: PLC0415 - 35 MB that only those pay who watch clusters
    except ImportError:
        raise ApiTrouble(0, "the package `kubernetes` is not installed: pip install 'fleetwatch[kubernetes]'") from None
    configuration = client.Configuration()
    # Lists and watches are repeated here, with what is known already.
    configuration.retries = False
    try:
        if access.kubeconfig is None and not _has_kubeconfig():
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(
                str(access.kubeconfig) if access.kubeconfig else os.environ.get("KUBECONFIG") or None,
                access.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except Exception as error:  # a file that is none fails anywhere in the client
        where = access.kubeconfig or "KUBECONFIG, ~/.kube/config, the pod's own account"
        raise ApiTrouble(0, f"no way to the API by {where}: {_unsaid(error)}") from None
    return client.ApiClient(configuration)


def _unsaid(error: Exception) -> str:
    """What is wrong with a configuration, without what is in it: the client's words repeat parts that have tokens."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1}: expected YAML"
    text = str(error) if type(error).__name__ == "ConfigException" else "expected the fields of a kubeconfig"
    return " ".join(text.partition("{")[0].split())[:200]


def _has_kubeconfig() -> bool:
    return bool(os.environ.get("KUBECONFIG")) or (Path.home() / ".kube" / "config").exists()


def _identity(configuration: Any) -> dict[str, str]:
    """The header by which the API knows us; asks for a new token where the one there is has run out."""
    # Earlier releases of the client knew it by the other name.
    names = ("BearerToken", "authorization")
    token = next(filter(None, map(configuration.get_api_key_with_prefix, names)), None)
    # Files end in a line's end, which no header may have.
    return {"Authorization": token.strip()} if token else {}


def _message(text: str) -> str:
    """The message of a Status, or the text itself where it is none."""
    try:
        return msgspec.json.decode(text, type=Status).message
    except msgspec.DecodeError:
        return " ".join(text.split())[:200]


def _words(error: Exception) -> str:
    """One line of an error of the connection, without the addresses of objects."""
    reason = getattr(error, "reason", None)
    return " ".join(f"{type(error).__name__}: {reason or error}".split())[:300]
