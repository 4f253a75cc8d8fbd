"""Model servers and a gateway for a fleet: loopback servers that tell what real ones told, and more of it each second.

with model_servers() as settings:
    ...  # settings: sections for the exporter
"""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import time
from collections.abc import Iterator
from typing import Any

from fleetwatch.app.here import SCRAPE_SOURCES
from support import free_port
from support_serving import ModelServer, recording

DOUBLES = 10.0
"""Seconds after which a server has done as much again as in its recording."""
_SAMPLE = re.compile(r"^(\w+:?\w*(?:\{.*\})?) (\S+)$", re.MULTILINE)
_GROWING = re.compile(r"_(?:total|bucket|count|sum)$")
# What is bounded goes up and down, some steps apart.
_LEVELS = ("vllm:num_requests", "vllm:kv_cache", "vllm:gpu_cache")


class BusyServer(ModelServer):
    """Whose counters go on from a recording, and whose load sways."""

    def __init__(self, recorded: str, phase: float) -> None:
        self._recorded = recorded
        self._phase = phase
        self._began = time.monotonic()
        super().__init__("")

    @property
    def text(self) -> str:
        passed = time.monotonic() - self._began
        sway = 1 + 0.18 * math.sin(passed / 9 + self._phase)

        def now(sample: re.Match[str]) -> str:
            name, value = sample[1].partition("{")[0], float(sample[2])
            if _GROWING.search(name):
                return f"{sample[1]} {math.floor(value * (1 + passed / DOUBLES))}"
            if name.startswith(_LEVELS):
                # Shares have no more than two decimals, requests none.
                return f"{sample[1]} {round(value * sway, 2 if value < 1 else 0)}"
            return sample[0]

        return _SAMPLE.sub(now, self._recorded)

    @text.setter
    def text(self, value: str) -> None:
        """It goes by itself."""


@contextlib.contextmanager
def model_servers() -> Iterator[dict[str, Any]]:
    """Until the block ends: two vLLM servers, an old and a new one, a gateway, and a server that is silent."""
    phases = itertools.count(0.0, 2.0)
    with contextlib.ExitStack() as stack:

        def served(*recordings: str) -> str:
            text = "".join(recording(name) for name in recordings)
            return stack.enter_context(BusyServer(text, next(phases))).url

        servers = {
            "vllm": [served("vllm-0.33-later"), served("vllm-0.8-later"), f"http://127.0.0.1:{free_port()}"],
            "litellm": [served("litellm-1.106", "litellm-1.106-outage")],
        }
        yield {"scrape": servers, "collect": {SCRAPE_SOURCES[kind]: {"interval": 2} for kind in servers}}
