"""What the settings point to outside of them: files with secrets, addresses that others may hold."""

from __future__ import annotations

import errno
from pathlib import Path

from fleetwatch.receive import Limits, Tls, TokenFile
from fleetwatch.settings import Settings, SettingsError


def content(setting: str, file: Path) -> bytes:
    """What the file of a setting holds. Raises SettingsError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}: {file} cannot be read: {error.strerror}") from None


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
        max_connections=receive.max_connections,
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


def refused(setting: str, listen: str, error: OSError) -> str:
    """Why an address cannot be had, and the one setting that moves it."""
    from fleetwatch.stack import ports  # noqa: PLC0415 - it looks through all processes, with what that takes

    # gRPC tells no number.
    if error.errno not in (None, errno.EADDRINUSE) or ports.is_free(listen):
        return f"{setting}: cannot listen on {listen}: {error.strerror or error}"
    return f"{setting}: {listen} is in use by {ports.holder(listen)}; stop it or set {setting} to another address"
