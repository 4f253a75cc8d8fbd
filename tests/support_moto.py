"""moto's own server: another reading of AWS' interfaces by other people."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support_aws import own_identity


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Its address; the environment has an identity."""
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # it is read once, with the import below
    from moto.server import ThreadedMotoServer

    own_identity(monkeypatch, tmp_path)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
