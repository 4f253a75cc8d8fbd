"""Asking an administration interface over HTTPS: one key from a file, pages of JSON, plain errors.

No redirects: the key goes to the configured host alone. Proxies of the environment are used for https, they see a
closed tunnel; a `.netrc` is not, it would take the place of the key. Neither a key nor a vendor's own words, which may
repeat it, gets into a message.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from fleetwatch import __version__
from fleetwatch.collect.asking import is_loopback, why
from fleetwatch.collect.runner import Denied

Query = Sequence[tuple[str, str]]

CONNECT, ANSWER = 5.0, 20.0
"""Seconds to connect, and between two pieces of an answer."""
WHOLE = 60.0
"""Seconds for an answer."""
LARGEST = 32 << 20
"""Bytes of an answer. A month of 20 projects with 50 lines each is 8 MiB."""
PAGES = 100
"""Of one report; a month has 31 days, and a page one of them at least."""
LONGEST_WAIT = 3600.0
"""Seconds that a provider may make us wait."""

_OUTCOMES = {200: "ok", 401: "credentials", 403: "denied", 429: "throttled"}
_KEY = re.compile(rb"[\x21-\x7e]{1,512}")
_KIND = re.compile(r"[a-z0-9.+-]{1,30}/[a-z0-9.+-]{1,30}(; ?charset=[A-Za-z0-9-]{1,20})?", re.ASCII)
_WORD = re.compile(r"[a-z0-9_.]{1,60}", re.ASCII)


class ApiError(Exception):
    """No report came. retry_after: seconds that the provider asked us to wait."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Api:
    """One provider's interface for one reading; `answers` counts what came, by the catalogue's words."""

    def __init__(
        self,
        setting: str,
        base: str,
        headers: Callable[[], dict[str, str]],
        denied: Callable[[str], Denied],
        counted: Counter[tuple[str, str]],
    ) -> None:
        """setting: names the section in messages. denied: what to do where the provider answers 401 or 403.

        counted: operations (paths without the first two parts) and outcomes, in the
        catalogue's words.

        Raises ValueError for an address that would give the key away.
        """
        parts = urlsplit(base)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ValueError(f"{setting}.url: expected an address like https://api.example.com, got {base!r}")
        self._base = base.rstrip("/")
        self._headers = headers
        self._denied = denied
        self._counted = counted
        self._session = requests.Session()
        # In the clear, a proxy of the environment would see the key.
        self._session.trust_env = parts.scheme == "https"

    def pages(self, path: str, query: Query) -> Iterator[dict[str, Any]]:
        """The pages of a report, in order. Raises Denied, ApiError."""
        cursor: list[tuple[str, str]] = []
        seen: set[str] = set()
        for _ in range(PAGES):
            page = self._get(path, [*query, *cursor])
            yield page
            if not page.get("has_more"):
                return
            following = page.get("next_page")
            if not isinstance(following, str) or not following or following in seen:
                raise ApiError(f"GET {path}: expected a new next_page, got {following!r:.60}")
            seen.add(following)
            cursor = [("page", following)]
        raise ApiError(f"GET {path}: expected at most {PAGES} pages, got more")

    def close(self) -> None:
        self._session.close()

    def _get(self, path: str, query: Query) -> dict[str, Any]:
        """Money in the answer is a Decimal: a float would have lost digits."""
        where = f"GET {path}"
        headers = {"User-Agent": f"fleetwatch/{__version__}", "Accept": "application/json", **self._headers()}
        operation, outcome = path.split("/", 3)[3], "error"
        try:
            with self._session.get(
                self._base + path,
                params=list(query),
                headers=headers,
                auth=_as_it_is,
                timeout=(CONNECT, ANSWER),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _body(response, where)
                outcome = _OUTCOMES.get(response.status_code, "error")
                if outcome != "ok":
                    raise self._refusal(response, body, where)
                return _object(body, where, response.headers.get("Content-Type", ""))
        except requests.RequestException as error:
            outcome = "unreachable"
            raise ApiError(f"{where}: {why(error)}") from None
        finally:
            self._counted[operation, outcome] += 1

    def _refusal(self, response: requests.Response, body: bytes, where: str) -> Exception:
        status, code = response.status_code, _code(body)
        named = f"{where} was answered with {status}{f' ({code})' if code else ''}"
        if status in (401, 403):
            return self._denied(named)
        wait = _wait(response.headers.get("Retry-After", ""))
        return ApiError(f"{where}: expected status 200, got {status}{f' ({code})' if code else ''}", wait)


def key_of(setting: str, file: Path | None) -> str:
    """The key in a file, read anew each time: it may be replaced while we run. Raises ApiError."""
    if file is None:
        raise ApiError(f"{setting}: expected a file with an admin key, got none")
    try:
        found = file.read_bytes()[:4096].strip()
    except OSError as error:
        raise ApiError(f"{setting}: {file} cannot be read: {error.strerror}") from None
    if not _KEY.fullmatch(found):
        what = "nothing" if not found else f"{len(found)} bytes that are no key"
        raise ApiError(f"{setting}: {file}: expected one line with an admin key, got {what}")
    return found.decode("ascii")


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from looking into .netrc."""
    return request


def _body(response: requests.Response, where: str) -> bytes:
    """Raises ApiError, requests.RequestException."""
    parts, size, end = [], 0, time.monotonic() + WHOLE
    for part in _pieces(response):
        size += len(part)
        if size > LARGEST:
            raise ApiError(f"{where}: expected at most {LARGEST >> 20} MiB, got more")
        if time.monotonic() > end:
            raise ApiError(f"{where}: no whole answer in {WHOLE:g} s")
        parts.append(part)
    return b"".join(parts)


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it comes: iter_content waits for whole pieces, for hours where a byte comes every few seconds."""
    try:
        while part := response.raw.read1(1 << 16, decode_content=True):
            yield part
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise requests.ConnectionError(type(error).__name__) from None


def _object(body: bytes, where: str, kind: str) -> dict[str, Any]:
    try:
        found = json.loads(body, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        said = kind if _KIND.fullmatch(kind) else "no type"
        raise ApiError(f"{where}: expected a JSON object with data, got {len(body)} bytes of {said}")
    return found


def _code(body: bytes) -> str:
    """The provider's short word for what is wrong, such as insufficient_permissions; its sentences may hold the key."""
    try:
        error = json.loads(body[:65536])["error"]
        found = error.get("code") or error.get("type")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""
    return found if isinstance(found, str) and _WORD.fullmatch(found) else ""


def _wait(text: str) -> float | None:
    """Seconds of a Retry-After field, a number or a date; None for none. RFC 9110, 10.2.3."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text):
        return min(float(text), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    due = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (due - datetime.now(UTC)).total_seconds()), LONGEST_WAIT)
