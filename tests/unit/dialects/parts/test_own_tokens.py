from __future__ import annotations

import time

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from fleetwatch.dialects import translate_metrics
from fleetwatch.records.llm import Tokens, UsagePoint
from support_otlp import NOW, SECOND, key_values, metrics_of

START = NOW - 60 * SECOND


def tokens_of_gemini(*told: tuple[str, int, int]) -> list[UsagePoint]:
    """Records of (type, tokens, start) points."""
    metric = Metric(name="gemini_cli.token.usage")
    metric.sum.aggregation_temporality = 2  # type: ignore[assignment]  # an enum's number: cumulative
    for kind, tokens, start in told:
        attributes = key_values({"type": kind, "model": "gemini-2.5-pro"})
        metric.sum.data_points.add(start_time_unix_nano=start, time_unix_nano=NOW, as_int=tokens, attributes=attributes)
    request = metrics_of([metric])
    request.resource_metrics[0].scope_metrics[0].scope.name = "gemini-cli"
    return [record for record in translate_metrics(request, NOW).records if isinstance(record, UsagePoint)]


def test_two_processes_with_one_identity_stay_apart() -> None:
    found = tokens_of_gemini(
        ("input", 100, START), ("cache", 40, START), ("input", 7, START + 1), ("cache", 5, START + 1)
    )
    assert {point.call.tokens for point in found} == {Tokens(input=60, cache_read=40), Tokens(input=2, cache_read=5)}
    assert len({point.stream for point in found}) == 2
    assert {point.family for point in found} == {"gemini-cli"}


def test_very_many_of_them_take_no_more_time_than_others() -> None:
    """The square of 20,000 would be ten seconds and more."""
    before = time.process_time()
    assert len(tokens_of_gemini(*(("input", 1, START - number) for number in range(20_000)))) == 20_000
    assert time.process_time() - before < 5
