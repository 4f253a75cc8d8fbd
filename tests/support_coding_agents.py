"""What coding agents really sent: the recordings in tests/fixtures/dialects, and the way from them to figures.

sent = Recording("claude_code", "tool")
records = sent.records("logs", "traces")
with Figures(tmp_path, records) as figures:
    assert figures.tokens() == sent.truth()
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.catalogue import agents
from fleetwatch.catalogue.metric import Metric
from fleetwatch.dialects import Record, Translation, translate_logs, translate_metrics, translate_traces
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.store import Record as LedgerRecord
from fleetwatch.ledger.usage import Usage
from fleetwatch.receive.body import from_json
from fleetwatch.records.llm import Tokens
from support_ledger import BOOK

FOLDER = Path(__file__).parent / "fixtures" / "dialects"
SECOND = 10**9
NOW = 1_796_000_000 * SECOND
"""Some days after the recordings, Unix nanoseconds."""
GRACE = 15 * SECOND

Request = ExportLogsServiceRequest | ExportMetricsServiceRequest | ExportTraceServiceRequest
_SIGNALS: dict[str, tuple[type[Request], Callable[[Any, int], Translation]]] = {
    "logs": (ExportLogsServiceRequest, translate_logs),
    "metrics": (ExportMetricsServiceRequest, translate_metrics),
    "traces": (ExportTraceServiceRequest, translate_traces),
}


def translate(signal: str, request: Request, now: int = NOW) -> Translation:
    return _SIGNALS[signal][1](request, now)


class Recording:
    """One run of one program."""

    def __init__(self, dialect: str, scenario: str) -> None:
        self.folder = FOLDER / dialect / scenario

    def requests(self, signal: str, change: Callable[[str], str] = str) -> list[Any]:
        """The export requests of a signal. change: of their JSON."""
        kind, _ = _SIGNALS[signal]
        file = self.folder / f"{signal}.jsonl"
        return [from_json(change(line).encode(), kind) for line in file.read_text(encoding="utf-8").splitlines()]

    def records(self, *signals: str, change: Callable[[str], str] = str) -> list[Record]:
        """What the requests of these signals hold. Nothing of them is refused."""
        records: list[Record] = []
        for signal in signals:
            for request in self.requests(signal, change):
                found = translate(signal, request)
                assert not found.rejected
                records += found.records
        return records

    def truth(self) -> dict[str, Tokens]:
        """What the provider answered: tokens by model, of those that it answered at all."""
        told = json.loads((self.folder / "truth.json").read_text(encoding="utf-8"))["provider_by_model"]
        by_model = {model: Tokens(**item["tokens_disjoint"]) for model, item in told.items()}
        return {model: tokens for model, tokens in by_model.items() if any(tokens)}

    def calls(self) -> int:
        """Calls that the provider answered."""
        told = json.loads((self.folder / "truth.json").read_text(encoding="utf-8"))["provider_by_model"]
        return sum(int(item["calls_answered_200"]) for item in told.values())


class Figures:
    """A ledger that has been given records, in one group or several, and has waited for what waits."""

    def __init__(self, folder: Path, *groups: Iterable[Record]) -> None:
        self.now = NOW
        self._counts: dict[tuple[str, tuple[str, ...]], tuple[int, list[int]]] = {}
        self._ledger = Ledger(folder / "ledger.db", BOOK, usage=Usage(grace=GRACE / SECOND), clock=lambda: self.now)
        for group in groups:
            self.commit(group)
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.close()

    def commit(self, records: Iterable[Record]) -> None:
        self._ledger.commit(cast(Sequence[LedgerRecord], list(records)))

    def wait(self, seconds: float = 120) -> None:
        """Let time pass, with settling every few seconds."""
        for _ in range(round(seconds / 5)):
            self.now += 5 * SECOND
            self._ledger.settle()
        self._ledger.take()
        for change in self._ledger.counts():
            amount, buckets = self._counts.get((change.metric.name, change.labels), (0, []))
            summed = [old + new for old, new in zip_longest(buckets, change.buckets or [], fillvalue=0)]
            self._counts[change.metric.name, change.labels] = (amount + change.amount, summed)

    def tokens(self) -> dict[str, Tokens]:
        """Tokens by model; models without any are left out."""
        found: dict[str, Counter[str]] = {}
        for labels, total in self._ledger.totals():
            found.setdefault(labels.model, Counter()).update(dict(total.tokens()))
        return {model: Tokens(**sums) for model, sums in found.items() if any(sums.values())}

    def requests(self, **labels: str) -> int:
        """Calls with these labels."""
        return sum(
            total.requests
            for found, total in self._ledger.totals()
            if all(getattr(found, name) == value for name, value in labels.items())
        )

    def labels(self, name: str) -> set[str]:
        """Values of a label among the calls."""
        return {getattr(found, name) for found, _ in self._ledger.totals()}

    def cost(self) -> int:
        """Nano-USD."""
        return sum(total.cost for _, total in self._ledger.totals())

    def duplicates(self) -> dict[str, int]:
        return self._ledger.duplicates()

    def edges(self) -> dict[tuple[str, ...], int]:
        """Calls of agents and tools by agents: (source, target, kind, outcome) -> how many."""
        found = self.counted(agents.EDGE_REQUESTS)
        return {labels: number for labels, number in found.items() if labels[2] != "model"}

    def counted(self, metric: Metric) -> dict[tuple[str, ...], int]:
        """Counts of agents, labels -> amount in units of the metric's scale; of a histogram its observations."""
        return {
            labels: sum(buckets) if buckets else amount
            for (name, labels), (amount, buckets) in self._counts.items()
            if name == metric.name
        }
