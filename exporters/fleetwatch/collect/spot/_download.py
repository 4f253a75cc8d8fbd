"""One public file over HTTPS: bounded in time and size, no redirects, not sent again where it is still the same.

Proxies of the environment are used; a `.netrc` is not, for the file is nobody's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3

from fleetwatch import __version__
from fleetwatch.collect.asking import is_loopback, why

CONNECT, ANSWER = 5.0, 20.0
"""Seconds to connect, and between two pieces of an answer."""
WHOLE = 60.0
"""Seconds for an answer."""
LARGEST = 16 << 20
"""Bytes of an answer, unpacked; today's file has one."""


class Failed(Exception):  # noqa: N818 - what is told is that no file came
    """The message says why, without the address' query."""


class Seen(NamedTuple):
    """How the server calls the state of the file that it sent; empty: it does not say."""

    etag: str = ""
    modified: str = ""


class Download(NamedTuple):
    """body: None where the file is the one that was seen before."""

    body: bytes | None
    seen: Seen


def download(url: str, seen: Seen) -> Download:
    """Raises Failed."""
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.hostname}{parts.path}"
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname))):
        raise Failed(f"expected an address like https://example.com/file.json, got {url!r:.100}")
    headers = {"User-Agent": f"fleetwatch/{__version__}", "Accept": "application/json"}
    headers |= {"If-None-Match": seen.etag} if seen.etag else {}
    headers |= {"If-Modified-Since": seen.modified} if seen.modified and not seen.etag else {}
    try:
        with requests.get(
            url, headers=headers, auth=_as_it_is, timeout=(CONNECT, ANSWER), allow_redirects=False, stream=True
        ) as response:
            if response.status_code == 304 and (seen.etag or seen.modified):
                return Download(None, seen)
            if response.status_code != 200:
                raise Failed(f"{where}: expected status 200, got {response.status_code}")
            body = b"".join(_pieces(response, where))
            told = (response.headers.get(name, "")[:300] for name in ("ETag", "Last-Modified"))
            return Download(body, Seen(*told))
    except requests.RequestException as error:
        raise Failed(f"{where}: {why(error)}") from None


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from looking into .netrc."""
    return request


def _pieces(response: requests.Response, where: str) -> Iterator[bytes]:
    """The body as it comes: iter_content waits for whole pieces, for hours where a byte comes every few seconds."""
    size, end = 0, time.monotonic() + WHOLE
    try:
        while part := response.raw.read1(1 << 16, decode_content=True):
            size += len(part)
            if size > LARGEST:
                raise Failed(f"{where}: expected at most {LARGEST >> 20} MiB, got more")
            if time.monotonic() > end:
                raise Failed(f"{where}: no whole answer in {WHOLE:g} s")
            yield part
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Failed(f"{where}: broke off ({type(error).__name__})") from None
