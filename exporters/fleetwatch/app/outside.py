"""What the settings point to outside of them: files with secrets, addresses that others may hold."""

from __future__ import annotations

import errno
import ipaddress
import logging
import resource
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from fleetwatch.receive import Limits, Tls, TokenFile
from fleetwatch.receive.server import split_address
from fleetwatch.settings import Settings, SettingsError

log = logging.getLogger(__name__)


def content(setting: str, file: Path) -> bytes:
    """What the file of a setting holds. Raises SettingsError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}: {file} cannot be read: {error.strerror}") from None


def authorities(setting: str, file: Path) -> None:
    """Look whether a file holds certificates. Raises SettingsError."""
    content(setting, file)
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:
        raise SettingsError(f"{setting}: {file}: expected certificates in PEM: {error}") from None


def headers(setting: str, file: Path | None) -> dict[str, str]:
    """Header fields from a file with one `name: value` a line. Raises SettingsError."""
    if file is None:
        return {}
    text = content(setting, file).decode("utf-8", "replace")
    pairs = [line.partition(":") for line in text.splitlines() if line.strip()]
    if any(not name.strip() or not colon for name, colon, _ in pairs):
        raise SettingsError(f"{setting}: {file}: expected one `name: value` a line")
    return {name.strip(): value.strip() for name, _, value in pairs}


def door(settings: Settings) -> tuple[Limits, TokenFile | None, Tls | None]:
    """Bounds of receivers, the token that they ask for, and their certificate. Raises SettingsError."""
    receive = settings.receive
    tls = None
    if receive.tls_cert_file and receive.tls_key_file:
        content("receive.tls_cert_file", receive.tls_cert_file)
        content("receive.tls_key_file", receive.tls_key_file)
        tls = Tls(receive.tls_cert_file, receive.tls_key_file)
    elif receive.tls_cert_file or receive.tls_key_file:
        raise SettingsError("receive: tls_cert_file and tls_key_file: expected both or none")
    limits = Limits(
        max_body_bytes=receive.max_body_bytes,
        max_decompressed_bytes=receive.max_decompressed_bytes,
        max_connections=connections(receive.max_connections),
        timeout=receive.timeout,
    )
    token = None
    if receive.token_file:
        content("receive.token_file", receive.token_file)
        try:
            token = TokenFile(receive.token_file)
        except ValueError as error:
            raise SettingsError(f"receive.token_file: {error}") from None
    return limits, token, tls


def connections(wanted: int) -> int:
    """As many of the connections as this process may have open beside its files.

    Past the bound the longest idle one makes room. Past the process's own limit nobody is let in, and each attempt
    is logged by the event loop with a traceback.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(1, files // 2)
    if files == resource.RLIM_INFINITY or wanted <= most:
        return wanted
    log.warning("%d connections at most, not %d: this process may have %d files open (ulimit -n)", most, wanted, files)
    return most


def leads_back(url: str, listening: str) -> bool:
    """Whether a URL is an address on which we listen. A name is not looked up: that may take long, and change."""
    parts = urlsplit(url)
    host, port = split_address(listening)
    ours = ipaddress.ip_address(host)
    name = parts.hostname or ""
    if (parts.port or (443 if parts.scheme == "https" else 80)) != port:
        return False
    if name == "localhost":
        return ours.is_loopback or ours.is_unspecified
    if ours.is_unspecified and name == socket.gethostname():
        return True
    try:
        theirs = ipaddress.ip_address(name)
    except ValueError:
        return False
    if theirs.is_unspecified:  # leads to loopback
        return ours.is_loopback or ours.is_unspecified
    return theirs == ours or (ours.is_unspecified and _is_of_this_machine(theirs))


def _is_of_this_machine(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def refused(setting: str, listen: str, error: OSError) -> str:
    """Why a receiver cannot listen, and the one setting that is to be changed."""
    if isinstance(error, ssl.SSLError):
        return f"receive: tls_cert_file and tls_key_file are no pair of PEM files: {error}"
    from fleetwatch.stack import ports  # noqa: PLC0415 - it looks through all processes, with what that takes

    # gRPC tells no number.
    if error.errno not in (None, errno.EADDRINUSE) or ports.is_free(listen):
        return f"{setting}: cannot listen on {listen}: {error.strerror or error}"
    return f"{setting}: {listen} is in use by {ports.holder(listen)}; stop it or set {setting} to another address"
