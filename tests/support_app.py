"""The exporter on free loopback ports, inside this process.

with RunningExporter(tmp_path, budgets=[...]) as exporter:
    exporter.post("/v1/traces", body)
    assert "llm_requests_total" in exporter.get("/metrics").text
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from google.protobuf.message import Message

from fleetwatch.app.exporter import Exporter
from fleetwatch.settings import Settings, from_dict
from support_receive import in_loop

ANY = "127.0.0.1:0"


def settings(folder: Path, **sections: Any) -> Settings:
    """Settings with their data in `folder`, free ports and no time at zero; `sections` add to them."""
    receive = {"http": {"listen": ANY}, "grpc": {"listen": ANY}, **sections.pop("receive", {})}
    web = {"listen": ANY, "scrape_interval": 0.000001, **sections.pop("web", {})}
    return from_dict({"data_dir": folder / "data", "web": web, "receive": receive, **sections})


class RunningExporter:
    """Started in a loop that lasts for all tests; stopped at the end of the block."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        async def make() -> Exporter:
            return Exporter(settings(folder, **sections))

        self.exporter = in_loop(make())

    def __enter__(self) -> Self:
        in_loop(self.exporter.start())
        self.client = httpx.Client(timeout=10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        in_loop(self.exporter.stop())

    @property
    def web(self) -> str:
        return self.exporter.addresses()["metrics"].removesuffix("/metrics")

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(self.web + path, headers=headers)

    def post(self, path: str, message: Message) -> httpx.Response:
        address = self.exporter.addresses()["otlp-http"]
        headers = {"content-type": "application/x-protobuf"}
        return self.client.post(address + path, content=message.SerializeToString(), headers=headers)
