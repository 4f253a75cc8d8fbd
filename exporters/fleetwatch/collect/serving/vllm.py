"""vLLM servers by their own metrics, tried with the names of versions 0.8 to 0.33.

serving_requests_running{server="10.0.0.7:8000",model="llama"} 12
serving_kv_cache_utilization_ratio{server="10.0.0.7:8000",model="llama"} 0.83

Engines of one server are added up. Latencies are quantiles of the last minutes; the buckets are vLLM's.

What vLLM itself tells otherwise than its names say: requests that the caller gave up are missing from those that ended,
though their tokens count; version 0.8 counts the prefix cache in blocks, so that there only the share of hits is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fleetwatch.catalogue import serving
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.runner import source
from fleetwatch.collect.serving._servers import Family, Servers, summed

_MODEL: Final = "model_name"

# Ours -> vLLM's names, newest first; of those that were renamed some versions tell both.
_SUMS: Final = {
    serving.RUNNING: ("vllm:num_requests_running",),
    serving.WAITING: ("vllm:num_requests_waiting",),
    serving.PROMPT_TOKENS: ("vllm:prompt_tokens_total",),
    serving.GENERATED_TOKENS: ("vllm:generation_tokens_total",),
    serving.CACHE_QUERIES: ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
    serving.CACHE_HITS: ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    serving.PREEMPTIONS: ("vllm:num_preemptions_total",),
}
_KV_CACHE: Final = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
"""A share from 0 to 1, whatever its name says."""
_REQUESTS: Final = ("vllm:request_success_total",)
_REJECTED: Final = ("vllm:admission_rejections_total",)
_LATENCIES: Final = {
    serving.TIME_TO_FIRST_TOKEN: ("vllm:time_to_first_token_seconds",),
    serving.INTER_TOKEN: ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
    serving.DURATION: ("vllm:e2e_request_latency_seconds",),
    serving.QUEUE_TIME: ("vllm:request_queue_time_seconds",),
}
_OUTCOMES: Final = {"abort": "cancelled", "error": "error", "repetition": "error"}
"""finished_reason of what did not go well; others (stop, length …) did. repetition: cut off, for it ran in circles."""


def _names(*tables: dict[Metric, tuple[str, ...]]) -> frozenset[str]:
    return frozenset(name for table in tables for names in table.values() for name in names)


@source(interval=15, timeout=12)
class Vllm(Servers):
    kind = "vllm"
    path = "/metrics"
    names = _names(_SUMS) | {*_KV_CACHE, *_REQUESTS, *_REJECTED} | {f"{name}_bucket" for name in _names(_LATENCIES)}

    def read(self, server: str, family: Family) -> Iterator[Sample]:
        for metric, names in _SUMS.items():
            for (model,), value in summed(family.of(names), _MODEL).items():
                yield metric(value, server=server, model=model)
        fullest: dict[str, float] = {}
        for point in family.of(_KV_CACHE):
            model = point.labels.get(_MODEL, "")
            fullest[model] = max(fullest.get(model, 0), point.value)
        for model, value in sorted(fullest.items()):
            yield serving.KV_CACHE(value, server=server, model=model)
        ended: dict[tuple[str, str], float] = {}
        for (model, reason), value in summed(family.of(_REQUESTS), _MODEL, "finished_reason").items():
            key = model, _OUTCOMES.get(reason, "ok")
            ended[key] = ended.get(key, 0) + value
        for (model,), value in summed(family.of(_REJECTED), _MODEL).items():
            ended[model, "rejected"] = value
        for (model, outcome), value in sorted(ended.items()):
            yield serving.REQUESTS(value, server=server, model=model, outcome=outcome)
        for metric, names in _LATENCIES.items():
            yield from self.quantiles(metric, server, family.of(names, "_bucket"), _MODEL)
