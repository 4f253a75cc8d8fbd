from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint

from fleetwatch.dialects import Translation, translate_metrics, translate_traces
from fleetwatch.records.llm import LlmCall, Tokens, UsagePoint
from support_otlp import NOW, SECOND, fixture, key_values, metrics_of, traces_of

DELTA, CUMULATIVE = 1, 2
OLD = "gen_ai.client.token.usage"
COUNTER = "gen_ai.client.inference.usage."
CALLS = "gen_ai.client.inference.operation.input_tokens"
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
START = NOW - 60 * SECOND


def observed(kind: str, tokens: float, count: int = 1, **fields: Any) -> HistogramDataPoint:
    """A point of the old histogram."""
    values = {"start_time_unix_nano": START, "time_unix_nano": NOW, "sum": tokens, "count": count} | fields
    return HistogramDataPoint(**values, attributes=key_values(CHAT | {"gen_ai.token.type": kind}))


def histogram(*points: HistogramDataPoint, name: str = OLD, temporality: int = CUMULATIVE) -> Metric:
    metric = Metric(name=name, unit="{token}")
    metric.histogram.aggregation_temporality = temporality  # type: ignore[assignment]  # an enum's number
    metric.histogram.data_points.extend(points)
    return metric


def counter(name: str, by_modality: dict[str, float], temporality: int = CUMULATIVE, **fields: Any) -> Metric:
    metric = Metric(name=COUNTER + name, unit="{token}")
    metric.sum.aggregation_temporality = temporality  # type: ignore[assignment]  # an enum's number
    metric.sum.is_monotonic = True
    times = {"start_time_unix_nano": START, "time_unix_nano": NOW} | fields
    for modality, tokens in by_modality.items():
        value: dict[str, Any] = {"as_int" if isinstance(tokens, int) else "as_double": tokens}
        attributes = key_values(CHAT | {"gen_ai.token.modality": modality})
        metric.sum.data_points.append(NumberDataPoint(**times, **value, attributes=attributes))
    return metric


def read(*metrics: Metric, resource: dict[str, Any] | None = None) -> Translation:
    return translate_metrics(metrics_of(metrics) if resource is None else metrics_of(metrics, resource), NOW)


def points(found: Translation) -> list[UsagePoint]:
    assert all(isinstance(record, UsagePoint) for record in found.records)
    return [record for record in found.records if isinstance(record, UsagePoint)]


def test_input_and_output_are_two_records_of_which_one_has_the_calls() -> None:
    point, other = points(read(histogram(observed("input", 2006.0, 3), observed("output", 300.0, 3))))
    assert (point.cumulative, point.start, point.at, len(point.stream)) == (True, START, NOW, 16)
    assert point.call == LlmCall(
        key=point.call.key,
        span=b"",
        at=NOW,
        agent="triage",
        team="support",
        provider="openai",
        model="gpt-4o",
        operation="chat",
        outcome="ok",
        error_type="",
        tokens=Tokens(input=2006),
        duration=None,
        first_token=None,
        requests=3,
        service="support\x1ftriage\x1fpod-1",
    )
    assert len(point.call.key) == 16
    assert other.call == point.call._replace(key=other.call.key, tokens=Tokens(output=300), requests=0)
    assert (point.stream, point.call.key) != (other.stream, other.call.key)


def test_a_cut_between_input_and_output_changes_nothing() -> None:
    metrics = [histogram(observed("input", 7.0)), histogram(observed("output", 5.0))]
    assert points(read(*metrics)) == [*points(read(metrics[0])), *points(read(metrics[1]))]


def test_a_whole_is_the_same_stream_with_and_without_its_parts() -> None:
    """The Python SDK starts each stream at its own first value: the part's start is not the whole's."""
    part = observed("cache_read", 60.0, start_time_unix_nano=START - SECOND)
    alone, together = (points(read(histogram(observed("input", 100.0), *parts)))[0] for parts in ([], [part]))
    assert (alone.stream, alone.start) == (together.stream, together.start)
    assert (alone.call.tokens, together.call.tokens) == (Tokens(input=100), Tokens(input=40, cache_read=60))
    assert points(read(histogram(part)))[0].stream != alone.stream


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [
        ("prompt", Tokens(input=9)),
        ("completion", Tokens(output=9)),
        ("cache_read", Tokens(cache_read=9)),
        ("cache_write", Tokens(cache_write=9)),
        ("cache_creation", Tokens(cache_write=9)),
        ("reasoning", Tokens(reasoning=9)),
    ],
)
def test_token_types_of_all_generations(kind: str, tokens: Tokens) -> None:
    (point,) = points(read(histogram(observed(kind, 9.0))))
    assert point.call.tokens == tokens
    assert point.call.requests == (1 if kind == "prompt" else 0)


@pytest.mark.parametrize("kind", ["total", "tool", ""])
def test_a_token_type_that_repeats_others_is_left_out(kind: str) -> None:
    assert read(histogram(observed(kind, 9.0))) == Translation([], {}, 0)


def test_parts_that_come_with_their_whole_are_taken_out_of_it() -> None:
    found = read(
        histogram(
            observed("input", 100.0), observed("cache_read", 60.0), observed("output", 9.0), observed("reasoning", 4.0)
        )
    )
    assert [point.call.tokens for point in points(found)] == [
        Tokens(input=40, cache_read=60),
        Tokens(output=5, reasoning=4),
    ]


def test_counters_of_the_newest_generation_become_kinds_without_overlap() -> None:
    found = read(
        counter("input_tokens", {"text": 100, "audio": 50, "image": 30.0}),
        counter("output_tokens", {"text": 20, "audio": 8}),
        counter("cache_read.input_tokens", {"text": 60, "audio": 10}),
        counter("cache_write.input_tokens", {"text": 5}),
        counter("reasoning.output_tokens", {"unknown": 7}),
    )
    into, out = points(found)
    assert into.call.tokens == Tokens(input=35, cache_read=70, cache_write=5, audio_in=40, image=30)
    assert out.call.tokens == Tokens(output=13, audio_out=8, reasoning=7)
    assert (sum(into.call.tokens), sum(out.call.tokens)) == (180, 28)
    assert (into.call.requests, out.call.requests) == (0, 0)


def test_calls_of_the_newest_generation_are_counted_by_their_histogram_once() -> None:
    calls = histogram(observed("", 180.0, 4), name=CALLS)
    usage, count = points(read(counter("input_tokens", {"text": 180}), calls))
    assert (usage.call.tokens, usage.call.requests) == (Tokens(input=180), 0)
    assert (count.call.tokens, count.call.requests) == (Tokens(), 4)
    assert usage.stream != count.stream


def test_failed_calls_of_the_newest_generation_keep_their_error() -> None:
    failed = HistogramDataPoint(start_time_unix_nano=START, time_unix_nano=NOW, count=2, sum=0.0)
    failed.attributes.extend(key_values(CHAT | {"error.type": "openai.APITimeoutError"}))
    (point,) = points(read(histogram(failed, name=CALLS)))
    assert (point.call.requests, point.call.outcome, point.call.error_type) == (2, "timeout", "openai.APITimeoutError")


def test_a_sender_of_two_generations_at_once_is_not_counted_twice() -> None:
    old = histogram(observed("input", 180.0), observed("output", 20.0))
    both = read(old, counter("input_tokens", {"text": 180}), counter("output_tokens", {"text": 20}))
    assert [point.call.tokens for point in points(both)] == [Tokens(input=180), Tokens(output=20)]
    calls = histogram(observed("", 180.0), name=CALLS)
    assert sum(point.call.requests for point in points(read(old, calls))) == 1


def test_a_cumulative_stream_keeps_its_identity_while_it_grows() -> None:
    first, then = (
        points(read(histogram(observed("input", n * 10.0, n, time_unix_nano=NOW - 9 + n))))[0] for n in (1, 2)
    )
    assert first.stream == then.stream
    assert first.call.key != then.call.key


def test_a_restart_begins_another_stream() -> None:
    first = points(read(histogram(observed("input", 5.0))))[0]
    then = points(read(histogram(observed("input", 5.0, start_time_unix_nano=START + SECOND))))[0]
    assert first.stream != then.stream


def test_streams_differ_by_resource_and_attributes_but_not_by_their_order() -> None:
    base = points(read(histogram(observed("input", 5.0))))[0].stream
    shuffled = observed("input", 5.0)
    attributes = list(shuffled.attributes)[::-1]
    del shuffled.attributes[:]
    shuffled.attributes.extend(attributes)
    assert points(read(histogram(shuffled)))[0].stream == base
    more = observed("input", 5.0)
    more.attributes.extend(key_values({"session.id": "s-1"}))
    assert points(read(histogram(more)))[0].stream != base
    assert points(read(histogram(observed("input", 5.0)), resource={"service.name": "x"}))[0].stream != base


def test_a_point_sent_again_has_the_same_key() -> None:
    sent = histogram(observed("input", 5.0), observed("output", 2.0), temporality=DELTA)
    first, again = points(read(sent))[0], points(read(sent))[0]
    assert first == again
    assert not first.cumulative


def test_parts_of_one_whole_cut_from_each_other_are_no_duplicates() -> None:
    keys = {
        points(read(histogram(observed(kind, 5.0), temporality=DELTA)))[0].call.key
        for kind in ("input", "cache_read", "cache_write")
    }
    assert len(keys) == 3


def test_two_processes_with_one_identity_in_one_request_stay_apart() -> None:
    other = {"start_time_unix_nano": START + 5 * SECOND}
    found = read(
        histogram(
            observed("input", 43.0),
            observed("input", 46.0, **other),
            observed("output", 1.0),
            observed("output", 2.0, **other),
        )
    )
    seen = {(point.start, point.call.tokens) for point in points(found)}
    assert seen == {
        (START, Tokens(input=43)),
        (START, Tokens(output=1)),
        (START + 5 * SECOND, Tokens(input=46)),
        (START + 5 * SECOND, Tokens(output=2)),
    }
    assert len({point.stream for point in points(found)}) == 4


def test_very_many_processes_with_one_identity_take_no_more_time_than_others() -> None:
    """The square of 20,000 would be half a minute."""
    request = metrics_of([counter("input_tokens", {"text": 1}, start_time_unix_nano=START - n) for n in range(20_000)])
    before = time.process_time()
    assert len(translate_metrics(request, NOW).records) == 20_000
    assert time.process_time() - before < 10


@pytest.mark.parametrize(
    ("scope", "family"),
    [
        ("opentelemetry.instrumentation.genai.openai", "opentelemetry.instrumentation.genai.openai"),
        ("opentelemetry.instrumentation.openai.v1", "openllmetry"),
        ("opentelemetry.instrumentation.langchain", "openllmetry"),
        ("@traceloop/instrumentation-openai", "openllmetry"),
        ("openlit.otel.metrics", "openlit.otel.metrics"),
        ("", ""),
    ],
)
def test_a_point_tells_whose_instrumentation_measured_it(scope: str, family: str) -> None:
    request = metrics_of([histogram(observed("input", 100))])
    request.resource_metrics[0].scope_metrics[0].scope.name = scope
    assert [point.family for point in points(translate_metrics(request, NOW))] == [family]


def test_token_usage_of_an_agent_run_repeats_its_calls_and_is_left_out() -> None:
    point = HistogramDataPoint(start_time_unix_nano=START, time_unix_nano=NOW, count=1, sum=9.0)
    point.attributes.extend(key_values({"gen_ai.operation.name": "invoke_agent", "gen_ai.token.type": "input"}))
    assert read(histogram(point)) == Translation([], {}, 0)


def test_a_point_of_nothing_is_left_out_but_calls_without_tokens_count() -> None:
    assert read(histogram(observed("input", 0.0, 0)), counter("input_tokens", {"text": 0})) == Translation([], {}, 0)
    (point,) = points(read(histogram(observed("input", 0.0, 2))))
    assert (point.call.requests, point.call.tokens) == (2, Tokens())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0, 1.5, 2e15])
def test_an_impossible_value_is_refused_and_the_rest_kept(bad: float) -> None:
    found = read(histogram(observed("input", bad), observed("output", 7.0)))
    assert found.rejected == {"bad_point": 1}
    assert [point.call.tokens for point in points(found)] == [Tokens(output=7)]
    assert read(counter("input_tokens", {"text": bad})).rejected == {"bad_point": 1}


def test_a_histogram_without_a_sum_is_refused() -> None:
    point = observed("input", 1.0)
    point.ClearField("sum")
    assert read(histogram(point)).rejected == {"bad_point": 1}


def test_points_that_cannot_be_summed_are_refused() -> None:
    gauge = Metric(name=OLD)
    gauge.gauge.data_points.add(as_int=5, time_unix_nano=NOW)
    assert read(gauge, histogram(observed("input", 5.0), temporality=0)).rejected == {"bad_point": 2}


@pytest.mark.parametrize(
    "times",
    [{"time_unix_nano": NOW + 601 * SECOND}, {"time_unix_nano": 0}, {"start_time_unix_nano": NOW + 1}],
)
def test_an_impossible_time_is_refused(times: dict[str, int]) -> None:
    assert read(histogram(observed("input", 5.0, **times))).rejected == {"bad_time": 1}


def test_the_lead_of_a_sender_s_clock_is_told() -> None:
    assert read(histogram(observed("input", 5.0, time_unix_nano=NOW + 3))).skew == 3


def test_an_unknown_start_and_a_missing_value_are_no_error() -> None:
    found = read(histogram(observed("input", 5.0, start_time_unix_nano=0), observed("output", 5.0, flags=1)))
    assert found.rejected == {}
    assert [(point.start, point.call.tokens) for point in points(found)] == [(0, Tokens(input=5))]


def test_exponential_histograms_count_as_well() -> None:
    metric = Metric(name=OLD)
    metric.exponential_histogram.aggregation_temporality = DELTA  # type: ignore[assignment]  # an enum's number
    point = metric.exponential_histogram.data_points.add(time_unix_nano=NOW, sum=9.0, count=2)
    point.attributes.extend(key_values({"gen_ai.token.type": "input"}))
    assert [(p.call.tokens, p.call.requests) for p in points(read(metric))] == [(Tokens(input=9), 2)]


def test_other_metrics_are_accepted_and_leave_nothing() -> None:
    assert read(histogram(observed("input", 5.0), name="gen_ai.client.operation.duration")) == Translation([], {}, 0)


def test_metrics_name_the_same_service_agent_and_team_as_spans() -> None:
    resource = {"service.name": "api", "service.namespace": "shop", "service.instance.id": "i", "team": "ops"}
    (point,) = points(read(histogram(observed("input", 5.0)), resource=resource))
    spans = traces_of([], resource)
    span = (
        spans.resource_spans[0]
        .scope_spans[0]
        .spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=START, end_time_unix_nano=NOW)
    )
    span.attributes.extend(key_values(CHAT))
    (call,) = translate_traces(spans, NOW).records
    assert isinstance(call, LlmCall)
    assert point.call[3:8] == call[3:8]
    assert (point.call.service, point.call.agent, point.call.team) == (call.service, "api", "ops")


@given(
    st.lists(st.tuples(st.sampled_from(["input", "output", "cache_read", "reasoning", "x"]), st.floats()), max_size=8),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
)
def test_any_points_become_good_records_refusals_or_nothing(sent: list[Any], start: int, at: int) -> None:
    many = [observed(kind, value, 1, start_time_unix_nano=start, time_unix_nano=at) for kind, value in sent]
    found = read(histogram(*many))
    assert len(found.records) + sum(found.rejected.values()) <= len(many)
    assert all(min(point.call.tokens) >= 0 for point in points(found))


# sender: model: input and output tokens and calls of one round; the older one knows neither streams nor embeddings
ROUNDS = {
    "openai-genai-1.3b0": {"gpt-4o-2024-08-06": (2 * 2006, 2 * 300, 2), "text-embedding-3-small": (8, 0, 1)},
    "openai-v2-2.1b0": {"gpt-4o-2024-08-06": (2006, 300, 1)},
}


def sums(name: str) -> dict[str, tuple[int, int, int]]:
    found = translate_metrics(fixture(name, ExportMetricsServiceRequest), NOW)
    assert found.rejected == {}
    total: dict[str, tuple[int, int, int]] = {}
    for point in points(found):
        tokens, old = point.call.tokens, total.get(point.call.model, (0, 0, 0))
        total[point.call.model] = (old[0] + tokens.input, old[1] + tokens.output, old[2] + point.call.requests)
    return total


@pytest.mark.parametrize("sender", ROUNDS)
@pytest.mark.parametrize(
    ("export", "rounds"), [("delta-1", 1), ("delta-2", 1), ("cumulative-1", 1), ("cumulative-2", 2)]
)
def test_a_real_sender_with_metrics_only_is_counted_right(sender: str, export: str, rounds: int) -> None:
    expected = {model: tuple(rounds * number for number in numbers) for model, numbers in ROUNDS[sender].items()}
    assert sums(f"{sender}-metrics-{export}") == expected


def test_the_streams_of_a_real_sender_go_on_from_export_to_export() -> None:
    first, second = (
        points(
            translate_metrics(fixture(f"openai-genai-1.3b0-metrics-cumulative-{n}", ExportMetricsServiceRequest), NOW)
        )
        for n in (1, 2)
    )
    assert {point.stream for point in first} == {point.stream for point in second}
    assert len({point.stream for point in first}) == len(first)


def test_a_real_sender_s_metrics_and_spans_share_their_service() -> None:
    (service,) = {
        point.call.service
        for point in points(
            translate_metrics(fixture("openai-genai-1.3b0-metrics-delta-1", ExportMetricsServiceRequest), NOW)
        )
    }
    calls = translate_traces(fixture("openai-genai-1.3b0-spans", ExportTraceServiceRequest), NOW).records
    assert {call.service for call in calls if isinstance(call, LlmCall)} == {service}
