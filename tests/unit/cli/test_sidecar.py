"""`fleetwatch sidecar` with settings that cannot be followed: one line that names the setting, exit 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support_house import fleetwatch

PORT = 4399  # nobody listens: the settings are refused before
SINK = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ({"forward": "gateway:4318"}, "sidecar.forward: expected an address like http://gateway:4318"),
        ({"forward": "http://gateway:99999"}, "sidecar.forward: Port out of range 0-65535"),
        ({"forward": "http://user:canary@gateway"}, "sidecar.forward: expected no user or password in the address"),
        ({"forward": "http://gateway/?key=canary"}, "sidecar.forward: expected nothing behind `?` or `#`"),
        (
            {"forward": f"http://localhost:{PORT}"},
            f"sidecar.forward: http://localhost:{PORT} is this sidecar's own receive.http.listen, 127.0.0.1:{PORT}",
        ),
        ({"forward": SINK, "headers_file": "/nowhere"}, "sidecar.headers_file: /nowhere cannot be read"),
        (
            {"forward": SINK, "headers_file": "{folder}/odd"},
            "sidecar.headers_file: {folder}/odd: header 'host': ",
        ),
        ({"forward": SINK, "ca_file": "{folder}/odd"}, "sidecar.ca_file: {folder}/odd: expected certificates in PEM"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, sidecar: dict[str, str], said: str) -> None:
    (tmp_path / "odd").write_text("host: canary\n", encoding="utf-8")
    settings: dict[str, Any] = {
        "data_dir": str(tmp_path / "data"),
        "web": {"listen": "127.0.0.1:0"},
        "receive": {"http": {"listen": f"127.0.0.1:{PORT}"}},
        "sidecar": {name: value.replace("{folder}", str(tmp_path)) for name, value in sidecar.items()},
    }
    config = tmp_path / "fleetwatch.yml"
    config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    ended = fleetwatch("sidecar", "--config", str(config))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(said.replace("{folder}", str(tmp_path)))
    assert "canary" not in ended.stdout + ended.stderr
