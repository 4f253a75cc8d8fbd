"""The exporter's AWS sources against a loopback AWS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.aws import Access, Account
from fleetwatch.aws.session import Aws
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect import Here
from fleetwatch.collect.ai_services._source import AiSource
from fleetwatch.collect.here import AiServices
from fleetwatch.collect.runner import Incomplete
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from support_cloudwatch import CloudWatch, cloudwatch

NOW = 1_800_000_000
"""A whole five minutes."""

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"


def own_identity(monkeypatch: pytest.MonkeyPatch, folder: Path, key: str = "own-key") -> None:
    """Credentials from the environment, and nothing of the machine's own."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudWatch]:
    """A loopback AWS and an identity that it knows. What it is asked must fit the models that AWS ships."""
    own_identity(monkeypatch, tmp_path)
    with cloudwatch(NOW) as server:
        yield server
        assert server.wrong == []


class Watched:
    """A source, what came of its cycles and what a scrape shows."""

    def __init__(
        self,
        kind: type[AiSource],
        cloud: CloudWatch,
        state: Path | None = None,
        *,
        regions: Sequence[str] = ("eu-west-1",),
        accounts: Sequence[Account] = (Account(),),
        settings: AiServices = AiServices(),  # noqa: B008 - a tuple cannot change
        **access: Any,
    ) -> None:
        self.cloud = cloud
        self.kind = kind
        access = {"attempts": 2, "timeout": 5.0, "endpoint_url": cloud.url, **access}
        aws = Aws(Access(tuple(regions), tuple(accounts), **access), clock=lambda: cloud.now)
        self.here = Here(aws=aws, state=state, ai_services=settings, clock=lambda: cloud.now)
        self.source = kind(self.here)
        self.failure: Incomplete | None = None
        self.samples: list[Sample] = []

    def restart(self) -> None:
        self.source = self.kind(self.here)

    def look(self, later: float = 0) -> None:
        """One cycle, some seconds later."""
        self.cloud.now += later
        self.samples, self.failure = [], None
        try:
            self.samples.extend(self.source())
        except Incomplete as error:
            # As the runner does: what was yielded before is shown.
            self.failure = error

    def value(self, metric: Metric, **labels: str) -> float | None:
        """The one value of the metric with these labels; None without any."""
        found = [sample.value for sample in self.samples if sample.metric is metric and _has(sample, labels)]
        assert len(found) <= 1, f"{metric.prometheus}: {len(found)} series"
        return found[0] if found else None

    def total(self, metric: Metric, **labels: str) -> float:
        return sum(sample.value for sample in self.samples if sample.metric is metric and _has(sample, labels))

    def page(self, *without: Metric) -> str:
        meter = Meter(implied={"host_name": "gpu-7"})
        meter.replace("source", [sample for sample in self.samples if sample.metric not in without])
        return exposition(meter, openmetrics=False)


def _has(sample: Sample, labels: dict[str, str]) -> bool:
    have = dict(zip(sample.metric.label_names, sample.labels, strict=True))
    return labels.items() <= have.items()


def each_minute(value: float | Sequence[float], minutes: int, since: float = NOW) -> dict[float, Any]:
    """The same for so many minutes, each 20 s after the full minute."""
    return {since + 60 * minute + 20: value for minute in range(minutes)}


def minutes(values: Iterable[float], since: float = NOW) -> dict[float, Any]:
    return {since + 60 * place + 20: value for place, value in enumerate(values)}
