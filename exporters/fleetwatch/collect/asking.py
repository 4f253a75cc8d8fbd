"""What all sources that ask over HTTP say and look at alike."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whoever has an error of it has loaded it
    import requests


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, so that nobody listens on the way."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def why(error: requests.RequestException) -> str:
    """A network's failure in few words; the library's own hold the whole address with its query."""
    from requests import exceptions  # noqa: PLC0415 - see above

    if isinstance(error, exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, exceptions.SSLError):
        return "its certificate is not believed"
    if isinstance(error, exceptions.ProxyError):
        return "the proxy of the environment lets nothing through"
    return "cannot be reached" if isinstance(error, exceptions.ConnectionError) else type(error).__name__
