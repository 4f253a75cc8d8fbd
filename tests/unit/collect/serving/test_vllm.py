"""vLLM's expositions in, ours out. The recordings have its names, labels and buckets, of old and new versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleetwatch.catalogue import serving
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.here import Here, ScrapeTargets
from fleetwatch.collect.runner import NoData
from fleetwatch.collect.serving._window import SECONDS
from fleetwatch.collect.serving.vllm import Vllm
from support import free_port
from support_machines import collected, page
from support_serving import ModelServer, recording

LLAMA = "meta-llama/Llama-3.3-70B-Instruct"


def source(*urls: str, token_file: Path | None = None) -> Vllm:
    return Vllm(Here(scrape={"vllm": ScrapeTargets(urls, token_file)}))


class Clock:
    """Seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def value(samples: list[Sample], metric: Metric, *rest: str) -> float | None:
    """The value of a series whose labels end so."""
    found = [sample.value for sample in samples if sample.metric is metric and sample.labels[-len(rest) :] == rest]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("version", ["0.33", "0.8"])
def test_every_version_is_shown_under_the_same_names(version: str, golden: Callable[[str, str], None]) -> None:
    with ModelServer(recording(f"vllm-{version}")) as server:
        vllm = source(server.url)
        vllm()
        list(vllm())
        server.text = recording(f"vllm-{version}-later")
        text = page(vllm()).replace(server.name, "10.0.0.7:8000")
    golden(f"sources/vllm-{version}.prom", text)


def test_engines_of_a_server_are_added_up_and_the_fullest_cache_is_shown() -> None:
    with ModelServer(recording("vllm-0.33")) as server:
        samples = list(source(server.url)())
    assert value(samples, serving.RUNNING, LLAMA) == 7 + 5
    assert value(samples, serving.GENERATED_TOKENS, LLAMA) == 32_000
    assert value(samples, serving.KV_CACHE, LLAMA) == 0.83
    assert value(samples, serving.REQUESTS, LLAMA, "ok") == 2 * (90 + 8)
    assert value(samples, serving.REQUESTS, LLAMA, "cancelled") == 2 * 2
    assert value(samples, serving.REQUESTS, LLAMA, "rejected") == 3 + 1


def test_an_answer_that_ran_in_circles_is_a_failed_one() -> None:
    circles = recording("vllm-0.33").replace(
        f'reason="repetition",model_name="{LLAMA}"}} 0.0', f'reason="repetition",model_name="{LLAMA}"}} 6.0'
    )
    with ModelServer(circles) as server:
        samples = list(source(server.url)())
    assert value(samples, serving.REQUESTS, LLAMA, "error") == 2 * (1 + 6)


def test_a_thing_that_is_told_by_its_old_and_its_new_name_counts_once() -> None:
    both = recording("vllm-0.33") + recording("vllm-0.33").replace("vllm:prefix", "vllm:gpu_prefix").replace(
        "vllm:kv_", "vllm:gpu_"
    )
    with ModelServer(both) as server:
        samples = list(source(server.url)())
    assert value(samples, serving.CACHE_HITS, LLAMA) == 70_000


def test_quantiles_are_those_of_the_last_minutes() -> None:
    """Not of the server's whole life: the first look only begins."""
    clock = Clock()
    with ModelServer(recording("vllm-0.33")) as server:
        vllm = source(server.url)
        vllm._clock = clock
        samples = list(vllm())
        assert value(samples, serving.TIME_TO_FIRST_TOKEN, LLAMA, "0.5") is None
        server.text = recording("vllm-0.33-later")
        clock.now += 15
        samples = list(vllm())
        # Of 100 new ones of each engine 50 took up to 0.06 s, 40 up to 0.1 s, 10 up to 5 s.
        assert value(samples, serving.TIME_TO_FIRST_TOKEN, LLAMA, "0.5") == pytest.approx(0.06)
        assert value(samples, serving.TIME_TO_FIRST_TOKEN, LLAMA, "0.95") == pytest.approx(2.5 + 2.5 * 5 / 10)
        clock.now += SECONDS + 1
        list(vllm())
        clock.now += 1
        assert value(list(vllm()), serving.TIME_TO_FIRST_TOKEN, LLAMA, "0.5") is None


def test_a_server_that_began_anew_is_not_looked_back_on() -> None:
    clock = Clock()
    with ModelServer(recording("vllm-0.33-later")) as server:
        vllm = source(server.url)
        vllm._clock = clock
        list(vllm())
        server.text = recording("vllm-0.33")
        clock.now += 15
        assert value(list(vllm()), serving.DURATION, LLAMA, "0.5") is None
        server.text = recording("vllm-0.33-later")
        clock.now += 15
        found = value(list(vllm()), serving.DURATION, LLAMA, "0.5")
        assert found is not None
        assert 1.5 < found <= 2.0


def test_a_server_that_is_silent_hurts_no_other() -> None:
    silent = f"127.0.0.1:{free_port()}"
    with ModelServer(recording("vllm-0.8")) as server:
        samples, why = collected(source(f"http://{silent}", server.url)())
    assert value(samples, serving.UP, silent) == 0
    assert value(samples, serving.UP, server.name) == 1
    assert value(samples, serving.RUNNING, LLAMA) == 7
    assert silent in why


@pytest.mark.parametrize(
    ("text", "status", "why"),
    [
        ("", 404, "answered 404 to GET /metrics: its metrics are switched off or under another path"),
        ("", 307, "answered 307 to GET /metrics"),
        ('vllm:num_requests_running{model_name="x" 1\n', 200, "line 1: expected a sample"),
    ],
)
def test_an_answer_that_is_no_exposition_is_told(text: str, status: int, why: str) -> None:
    with ModelServer(text, status) as server:
        samples, told = collected(source(server.url)())
    assert value(samples, serving.UP, server.name) == 0
    assert why in told


def test_the_token_is_read_from_its_file_each_time_and_never_told(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-secret\n")
    with ModelServer(recording("vllm-0.8")) as server:
        vllm = source(server.url + "/v1/metrics", token_file=file)
        list(vllm())
        file.write_text("second-secret")
        list(vllm())
        assert server.asked == [("/v1/metrics", "Bearer first-secret"), ("/v1/metrics", "Bearer second-secret")]
        server.status = 401
        assert "secret" not in collected(vllm())[1]
        file.write_text("two\nlines")
        assert "expected one line" in collected(vllm())[1]
        file.unlink()
        assert str(file) in collected(vllm())[1]


def test_without_servers_there_is_nothing_to_report() -> None:
    with pytest.raises(NoData):
        list(Vllm(Here())())
