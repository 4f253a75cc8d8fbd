"""What settings point to: files of this process, addresses of this machine."""

from __future__ import annotations

import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.app import outside
from fleetwatch.settings import SettingsError


@pytest.mark.parametrize(
    ("url", "listening", "ours"),
    [
        ("http://127.0.0.1:4318", "127.0.0.1:4318", True),
        ("http://127.0.0.1:4318/otlp", "127.0.0.1:4318", True),
        ("http://localhost:4318", "127.0.0.1:4318", True),
        ("http://localhost:4318", "0.0.0.0:4318", True),
        ("http://0.0.0.0:4318", "127.0.0.1:4318", True),
        ("http://127.0.0.1:4318", "0.0.0.0:4318", True),
        ("http://[::1]:4318", "[::1]:4318", True),
        ("http://[::1]:4318", "[::]:4318", True),
        ("https://127.0.0.1", "127.0.0.1:443", True),
        ("http://127.0.0.1:4317", "127.0.0.1:4318", False),
        ("http://127.0.0.2:4318", "127.0.0.1:4318", False),
        ("http://gateway:4318", "127.0.0.1:4318", False),
        ("http://192.0.2.1:4318", "0.0.0.0:4318", False),
    ],
)
def test_an_address_that_leads_back_is_known(url: str, listening: str, ours: bool) -> None:
    assert outside.leads_back(url, listening) is ours


@pytest.fixture
def few_files() -> Iterator[int]:
    """The number of files that this process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    yield 300
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_leave_room_for_files(few_files: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert outside.connections(100) == 100
    assert caplog.text == ""
    assert outside.connections(2000) == few_files // 2
    assert "150 connections at most, not 2000: this process may have 300 files open" in caplog.text


def test_authorities_that_are_none_are_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(SettingsError, match=r"sidecar.ca_file: .*ca.pem: expected certificates in PEM"):
        outside.authorities("sidecar.ca_file", file)
