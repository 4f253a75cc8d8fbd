"""LiteLLM gateways by their own metrics (callback `prometheus`), tried with 1.106.

serving_deployments{server="10.0.0.8:4000",provider="openai",model="gpt-5.5",state="healthy"} 2

Its labels name users, keys and their addresses: what is shown is summed over them. Its tokens and dollars are left out;
calls are counted from what callers and the gateway send as spans.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from fleetwatch.catalogue import serving
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.runner import source
from fleetwatch.collect.serving._exposition import Point
from fleetwatch.collect.serving._servers import Family, Servers, summed

_IN_FLIGHT: Final = ("litellm_in_flight_requests",)
_REQUESTS: Final = ("litellm_proxy_total_requests_metric_total",)
_STATE: Final = ("litellm_deployment_state",)
_SUCCESSES: Final = ("litellm_deployment_success_responses_total",)
_FAILURES: Final = ("litellm_deployment_failure_responses_total",)
_ZERO_COST: Final = ("litellm_zero_cost_requests_total",)
_LATENCIES: Final = {
    # Ours -> its name and the label that tells the model
    serving.TIME_TO_FIRST_TOKEN: ("litellm_llm_api_time_to_first_token_metric", "model"),
    serving.DURATION: ("litellm_request_total_latency_metric", "model"),
    serving.QUEUE_TIME: ("litellm_request_queue_time_seconds", "model"),
    serving.GATEWAY_OVERHEAD: ("litellm_overhead_latency_metric", "litellm_model_name"),
}
_FAILED: Final = {"408": "timeout", "504": "timeout", "429": "rejected", "499": "cancelled"}
_STATES: Final = {0.0: "healthy", 1.0: "degraded", 2.0: "down"}


@source(interval=15, timeout=12)
class LitellmProxy(Servers):
    kind = "litellm"
    path = "/metrics/"
    names = frozenset({*_IN_FLIGHT, *_REQUESTS, *_STATE, *_SUCCESSES, *_FAILURES, *_ZERO_COST}) | {
        f"{name}_bucket" for name, _ in _LATENCIES.values()
    }

    def read(self, server: str, family: Family) -> Iterator[Sample]:
        for value in summed(family.of(_IN_FLIGHT)).values():
            # One of them is ours: the request for these metrics.
            yield serving.RUNNING(max(0.0, value - 1), server=server, model="")
        yield from _requests(server, family.of(_REQUESTS))
        yield from _states(server, family.of(_STATE))
        yield from _attempts(server, family)
        for (model, reason), value in summed(family.of(_ZERO_COST), "model", "reason").items():
            yield serving.ZERO_COST(value, server=server, model=model, reason=reason)
        for metric, (name, model) in _LATENCIES.items():
            yield from self.quantiles(metric, server, family.of([name], "_bucket"), model)


def _requests(server: str, found: Iterable[Point]) -> Iterator[Sample]:
    """Those that asked for a model; a gateway counts questions for its own pages, too."""
    ended: dict[tuple[str, str], float] = {}
    for (model, status), value in summed(found, "requested_model", "status_code").items():
        if model:
            key = model, _outcome(status)
            ended[key] = ended.get(key, 0) + value
    for (model, outcome), value in sorted(ended.items()):
        yield serving.REQUESTS(value, server=server, model=model, outcome=outcome)


def _states(server: str, found: Iterable[Point]) -> Iterator[Sample]:
    """Deployments by state, each once.

    LiteLLM tells an outage under another name of the deployment than success and failure, and does not take it back, a
    known fault of it: a deployment whose calls succeed again is healthy, whatever else is told.
    """
    told: dict[object, list[Point]] = defaultdict(list)
    for point in found:
        if point.value in _STATES:
            told[point.labels.get("model_id") or tuple(sorted(point.labels.items()))].append(point)
    states: dict[tuple[str, str], dict[str, int]] = {}
    for points in told.values():
        best, worst = (choose(points, key=lambda point: point.value) for choose in (min, max))
        key = best.labels.get("api_provider", ""), best.labels.get("litellm_model_name", "")
        counts = states.setdefault(key, dict.fromkeys(_STATES.values(), 0))
        counts[_STATES[worst.value if best.value else best.value]] += 1
    for (provider, model), counts in sorted(states.items()):
        for state, number in counts.items():
            yield serving.DEPLOYMENTS(number, server=server, provider=provider, model=model, state=state)


def _attempts(server: str, family: Family) -> Iterator[Sample]:
    """Without what the gateway turned away before it had chosen a deployment."""
    sums: dict[tuple[str, str, str], float] = {}
    for names in (_SUCCESSES, _FAILURES):
        for (*place, status), value in summed(
            family.of(names), "api_provider", "litellm_model_name", "exception_status"
        ).items():
            if not place[1]:
                continue
            outcome = "ok" if names is _SUCCESSES else _failure(status)
            sums[place[0], place[1], outcome] = sums.get((place[0], place[1], outcome), 0) + value
    for (provider, model, outcome), value in sorted(sums.items()):
        yield serving.DEPLOYMENT_REQUESTS(value, server=server, provider=provider, model=model, outcome=outcome)


def _outcome(status: str) -> str:
    return "ok" if status.startswith("2") else _failure(status)


def _failure(status: str) -> str:
    return _FAILED.get(status) or ("invalid" if status.startswith("4") else "error")
