"""`fleetwatch replay` against a loopback receiver: nothing is lost, whatever the receiver does."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

from click.testing import CliRunner, Result
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.cli.replay import command
from fleetwatch.demo.calls import MODELS
from support import free_port, wait_for
from support_stack import OtlpSink, otlp_sink


def replay(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["--speed", "1000", "--limit", "300", *arguments], catch_exceptions=False)


def attributes(sink: OtlpSink) -> list[dict[str, object]]:
    """Attributes of every span, with its resource's team."""
    found: list[dict[str, object]] = []
    for request in sink.requests:
        assert isinstance(request, ExportTraceServiceRequest)
        for resource in request.resource_spans:
            team = next(item.value.string_value for item in resource.resource.attributes if item.key == "team")
            for span in resource.scope_spans[0].spans:
                values: dict[str, object] = {
                    item.key: item.value.string_value or item.value.int_value for item in span.attributes
                }
                found.append({**values, "team": team})
    return found


def test_every_call_arrives_once_as_the_truth_tells(tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    with otlp_sink() as sink:
        result = replay("--endpoint", sink.url, "--truth", str(truth))
    assert result.exit_code == 0, result.output
    assert "sent 300, acknowledged 300, rejected 0, retries 0" in result.stdout
    assert len(set(sink.spans)) == len(sink.spans) == 300
    told = json.loads(truth.read_text())
    # A failed call names only the model that it asked for, and is told of under the one that answers.
    answering = {model.requested: model.answered for model in MODELS}
    seen = Counter(
        (
            item["gen_ai.agent.name"],
            item["team"],
            item["gen_ai.provider.name"],
            answering[str(item["gen_ai.request.model"])],
        )
        for item in attributes(sink)
    )
    expected: Counter[tuple[object, ...]] = Counter()
    for row in told["requests"]:
        expected[row["agent"], row["team"], row["provider"], row["model"]] += row["value"]
    assert seen == expected


def test_a_receiver_that_is_away_gets_everything_later() -> None:
    port = free_port()
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(replay("--endpoint", f"http://127.0.0.1:{port}")))
    thread.start()
    wait_for(thread.is_alive, 1, "the replay to begin")
    with otlp_sink(port, refuse=2) as sink:
        thread.join(60)
        assert results, "the replay has not ended"
        assert results[0].exit_code == 0
        assert "acknowledged 300" in results[0].stdout
        assert len(set(sink.spans)) == 300


def test_a_repeated_run_sends_the_same_spans_again() -> None:
    with otlp_sink() as sink:
        replay("--endpoint", sink.url, "--run-id", "again")
        first = list(sink.spans)
        replay("--endpoint", sink.url, "--run-id", "again")
    assert sorted(sink.spans[len(first) :]) == sorted(first)
    ids = Counter(item["gen_ai.response.id"] for item in attributes(sink) if "gen_ai.response.id" in item)
    assert set(ids.values()) == {2}


def test_a_receiver_that_wants_a_token_is_no_endless_wait() -> None:
    with otlp_sink() as sink:
        sink.answer = 401
        result = replay("--endpoint", sink.url)
    assert result.exit_code == 1
    assert "the receiver refuses" in result.stderr


def test_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    result = replay(str(tmp_path / "none.csv"))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
