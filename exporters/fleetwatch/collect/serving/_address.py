"""Where a server's metrics are."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit


class Address(NamedTuple):
    """server: host and port, the server's name in series."""

    scheme: str
    server: str
    path: str


def address_of(url: str, path: str) -> Address:
    """The address in a setting. Raises ValueError for what is none. path: taken where it has none."""
    expected = f'expected an address like http://127.0.0.1:8000, got "{url}"'
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError(expected)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise ValueError(expected) from None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Address(parts.scheme, f"{host}:{port}", parts.path if parts.path.strip("/") else path)
