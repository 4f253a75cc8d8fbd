"""Servers of models that the settings name, in a running exporter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fleetwatch.app.here import here_of
from fleetwatch.settings import SettingsError
from support import wait_for
from support_app import RunningExporter, settings
from support_serving import ModelServer, recording


def test_servers_of_the_settings_are_asked_and_shown(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k-1")
    with ModelServer(recording("vllm-0.33")) as vllm, ModelServer(recording("litellm-1.106")) as litellm:
        scrape = {"vllm": [vllm.url], "litellm": [litellm.url], "litellm_token_file": str(key)}
        with RunningExporter(tmp_path, scrape=scrape) as exporter:
            wait_for(lambda: "serving_deployments{" in exporter.get("/metrics").text, 20, "the gateway's series")
            wait_for(lambda: "serving_kv_cache" in exporter.get("/metrics").text, 20, "the server's series")
            success = re.compile(r'^fleetwatch_collector_success{[^}]*collector="litellm_proxy"[^}]*} 1', re.MULTILINE)
            wait_for(lambda: success.search(exporter.get("/metrics").text) is not None, 20, "the end of a cycle")
            text = exporter.get("/metrics").text
        assert f'serving_up{{server="{vllm.name}"}} 1' in text
        assert {token for _, token in vllm.asked} == {None}
        assert {token for _, token in litellm.asked} == {"Bearer k-1"}


def test_without_servers_nobody_is_asked(tmp_path: Path) -> None:
    with RunningExporter(tmp_path) as exporter:
        assert 'collector="vllm"' not in exporter.get("/metrics").text


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        (["10.0.0.7:8000"], 'scrape.vllm[0]: expected an address like http://127.0.0.1:8000, got "10.0.0.7:8000"'),
        (
            ["http://a:8000", "http://a:70000"],
            'scrape.vllm[1]: expected an address like http://127.0.0.1:8000, got "http://a:70000"',
        ),
        (["http://key@a"], 'scrape.vllm[0]: expected an address like http://127.0.0.1:8000, got "http://key@a"'),
        (
            ["http://a", "http://a:80/x"],
            'scrape.vllm[1]: expected another host or port than that of [0], got "http://a:80/x"',
        ),
    ],
)
def test_an_address_that_cannot_be_asked_is_told(urls: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        here_of(settings(tmp_path, scrape={"vllm": urls}))
    assert str(raised.value) == message
