"""One GET for the metrics of a server: bounded in time and size, no redirects, a token from a file."""

from __future__ import annotations

import http.client
import re
import ssl
from pathlib import Path

from fleetwatch.collect.serving._address import Address

SECONDS = 4.0
"""For connecting, and between two pieces of an answer."""
LARGEST = 16 << 20
"""Bytes of an answer. A gateway with a thousand keys tells some 10 MiB."""
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")


class NoAnswer(Exception):  # noqa: N818 - what is told is that none came
    """The server gave no metrics; the message says why, without the token."""


def metrics_of(address: Address, token_file: Path | None) -> str:
    """The exposition. Raises NoAnswer."""
    scheme, server, path = address
    headers = {"Accept": "text/plain;version=0.0.4", "User-Agent": "fleetwatch"}
    if token_file is not None:
        headers["Authorization"] = f"Bearer {_token(token_file)}"
    connection = http.client.HTTPConnection(server, timeout=SECONDS)
    if scheme == "https":
        connection = http.client.HTTPSConnection(server, timeout=SECONDS, context=ssl.create_default_context())
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read(LARGEST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{server}: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise NoAnswer(f"{server}: answered {answer.status} to GET {path}{_HINTS.get(answer.status, '')}")
    if len(body) > LARGEST:
        raise NoAnswer(f"{server}: told more than {LARGEST >> 20} MiB")
    return body.decode("utf-8", "replace")


_HINTS = {
    401: ": it wants a token, name its file in the settings",
    403: ": the token has no right to it",
    404: ": its metrics are switched off or under another path",
}


def _token(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NoAnswer(f"token file {file}: {error}") from None
    if not _TOKEN.fullmatch(text):
        raise NoAnswer(f"token file {file}: expected one line of visible characters")
    return text
