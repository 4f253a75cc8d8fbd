"""Amazon CloudWatch and STS on loopback, for any region and account.

Requests and answers are checked against the service models that AWS ships with its SDK (botocore's own validator), so
that a name or type that AWS does not have fails the test. Statistics are computed from single values as CloudWatch
does: per period, from the values whose time lies in it. Bounds: CloudWatch API reference, GetMetricData.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import botocore.session
from botocore.validate import ParamValidator

SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
OWN_ACCOUNT = "111122223333"


class Value(NamedTuple):
    account: str
    region: str
    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    time: float
    value: float
    visible: float
    """When it arrives in CloudWatch."""


class Refusal(NamedTuple):
    status: int
    code: str
    message: str


THROTTLED = Refusal(400, "ThrottlingException", "Rate exceeded")
EXPIRED = Refusal(403, "ExpiredTokenException", "The security token included in the request is expired")
BAD_TOKEN = Refusal(403, "InvalidClientTokenId", "The security token included in the request is invalid.")


def denied(action: str) -> Refusal:
    who = f"arn:aws:sts::{OWN_ACCOUNT}:assumed-role/exporter/i-1"
    text = f"User: {who} is not authorized to perform: {action} because no identity-based policy allows the action"
    return Refusal(403, "AccessDenied", text)


class CloudWatch(ThreadingHTTPServer):
    """now: its clock, moved by tests. page: metrics or values on a page, at most."""

    daemon_threads = True

    def __init__(self, now: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.now = now
        self.page = 500
        self.late = 0.0
        """Seconds after their time that values arrive which are put from now on."""
        self.values: list[Value] = []
        self.refuse: dict[tuple[str, str], list[Refusal | None]] = {}
        """(region or *, operation) -> refusals to come, None for an answer; the last one stays."""
        self.partly: dict[str, str] = {}
        """Metric -> status that it gets instead of Complete; half of its values are missing then."""
        self.silent: set[str] = set()
        """Regions that give no answer."""
        self.identities = {"own-key": OWN_ACCOUNT}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        """(region, operation, parameters)."""
        self.wrong: list[str] = []
        """What was asked against the model; a test looks that there is nothing."""
        self.released = threading.Event()
        session = botocore.session.Session()
        self.models = {name: session.get_service_model(name) for name in ("cloudwatch", "sts")}
        self._tokens: dict[str, int] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def put(
        self,
        metric: str,
        values: Mapping[float, Sequence[float] | float],
        *,
        namespace: str = "AWS/Bedrock",
        region: str = "eu-west-1",
        account: str = OWN_ACCOUNT,
        **dimensions: str,
    ) -> None:
        """Values by time. API_name stands for `API name`."""
        names = tuple(sorted((name.replace("_", " "), value) for name, value in dimensions.items()))
        for time, some in values.items():
            for value in some if isinstance(some, Sequence) else (some,):
                self.values.append(Value(account, region, namespace, metric, names, time, value, time + self.late))

    def count(self, operation: str) -> int:
        return sum(1 for _, asked, _ in self.asked if asked == operation)

    def answer(self, region: str, account: str, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((region, operation, asked))
        visible = [
            item for item in self.values if (item.account, item.region) == (account, region) and item.visible < self.now
        ]
        made = getattr(self, f"_{operation}")(visible, asked)
        model = self.models["cloudwatch"].operation_model(operation)
        self._check(f"answer to {operation}", made, model.output_shape)
        return dict(made)

    def check_request(self, operation: str, asked: dict[str, Any]) -> None:
        self._check(operation, asked, self.models["cloudwatch"].operation_model(operation).input_shape)

    def _check(self, what: str, parameters: dict[str, Any], shape: Any) -> None:
        report = ParamValidator().validate(parameters, shape)
        if report.has_errors():
            self.wrong.append(f"{what}: {report.generate_report()}")

    def _ListMetrics(self, visible: list[Value], asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the API's name
        recent = {
            (item.metric, item.dimensions)
            for item in visible
            if item.namespace == asked["Namespace"]
            and (asked.get("RecentlyActive") != "PT3H" or item.time > self.now - 10_800)
        }
        metrics = [
            {
                "Namespace": asked["Namespace"],
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions],
            }
            for metric, dimensions in sorted(recent)
        ]
        first, token = self._page_of(asked, len(metrics))
        found: dict[str, Any] = {"Metrics": metrics[first : first + self.page]}
        return {**found, "NextToken": token} if token else found

    def _GetMetricData(self, visible: list[Value], asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the API's name
        self._check_bounds(asked)
        start, end = asked["StartTime"].timestamp(), asked["EndTime"].timestamp()
        results = [self._result(visible, query, start, end) for query in asked["MetricDataQueries"]]
        points = [(place, point) for place, (_, found, _) in enumerate(results) for point in found]
        first, token = self._page_of(asked, len(points))
        shown = points[first : first + self.page]
        answers = []
        for place, (name, found, status) in enumerate(results):
            mine = [point for where, point in shown if where == place]
            more = any(where == place for where, _ in points[first + self.page :])
            if not mine and found and first:
                continue
            answers.append(
                {
                    "Id": name,
                    "Label": name,
                    "Timestamps": [datetime.fromtimestamp(time, UTC) for time, _ in mine],
                    "Values": [value for _, value in mine],
                    "StatusCode": "PartialData" if more else status,
                }
            )
        made: dict[str, Any] = {"MetricDataResults": answers, "Messages": []}
        return {**made, "NextToken": token} if token else made

    def _result(
        self, visible: list[Value], query: dict[str, Any], start: float, end: float
    ) -> tuple[str, list[tuple[float, float]], str]:
        stat = query["MetricStat"]
        metric, period = stat["Metric"], stat["Period"]
        wanted = tuple(sorted((item["Name"], item["Value"]) for item in metric.get("Dimensions", ())))
        buckets: dict[float, list[float]] = {}
        for item in visible:
            same = (item.namespace, item.metric, item.dimensions) == (metric["Namespace"], metric["MetricName"], wanted)
            bucket = item.time // period * period
            if same and start <= bucket < end:
                buckets.setdefault(bucket, []).append(item.value)
        points = [(bucket, _statistic(stat["Stat"], values)) for bucket, values in sorted(buckets.items())]
        status = self.partly.get(metric["MetricName"], "Complete")
        return query["Id"], points if status == "Complete" else points[: len(points) // 2], status

    def _check_bounds(self, asked: dict[str, Any]) -> None:
        queries = asked["MetricDataQueries"]
        names = [query["Id"] for query in queries]
        if not 1 <= len(queries) <= 500:
            self.wrong.append(f"{len(queries)} queries")
        if len(set(names)) != len(names) or not all(re.fullmatch("[a-z][a-zA-Z0-9_]*", name) for name in names):
            self.wrong.append(f"ids {names}")
        start, end = asked["StartTime"].timestamp(), asked["EndTime"].timestamp()
        if not start < end or any(start % query["MetricStat"]["Period"] for query in queries):
            self.wrong.append(f"times {start} to {end}")

    def _page_of(self, asked: dict[str, Any], length: int) -> tuple[int, str | None]:
        token = asked.get("NextToken")
        first = self._tokens.pop(token) if token else 0
        if first + self.page >= length:
            return first, None
        fresh = uuid.uuid4().hex
        self._tokens[fresh] = first + self.page
        return first, fresh


def _statistic(name: str, values: list[float]) -> float:
    plain = {"Sum": sum, "SampleCount": len, "Maximum": max, "Average": lambda some: sum(some) / len(some)}
    if name in plain:
        return float(plain[name](values))  # type: ignore[operator]  # all take a list
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * float(name.removeprefix("p")) / 100) - 1)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: CloudWatch

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":  # as the SDK sends what is large
            body = gzip.decompress(body)
        scope = SCOPE.search(self.headers.get("Authorization", ""))
        assert scope, "unsigned request"
        key, region, service = scope.groups()
        if region in self.server.silent:
            self.server.released.wait(30)
            self.close_connection = True
            return
        if service == "sts":
            self._sts(key, region, {name: values[0] for name, values in parse_qs(body.decode()).items()})
        else:
            self._cloudwatch(key, region, json.loads(body))

    def _cloudwatch(self, key: str, region: str, asked: dict[str, Any]) -> None:
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        for name in ("StartTime", "EndTime"):
            if name in asked:
                asked[name] = datetime.fromtimestamp(asked[name], UTC)
        self.server.check_request(operation, asked)
        refusal = self._refusal(region, operation)
        account = self.server.identities.get(key)
        if refusal is None and account is None:
            refusal = BAD_TOKEN
        if refusal is not None:
            error = {"__type": f"com.amazonaws.cloudwatch#{refusal.code}", "message": refusal.message}
            self._send(refusal.status, "application/x-amz-json-1.0", json.dumps(error))
            return
        made = self.server.answer(region, account or "", operation, asked)
        text = json.dumps(made, default=lambda time: time.timestamp())
        self._send(200, "application/x-amz-json-1.0", text)

    def _sts(self, key: str, region: str, asked: dict[str, str]) -> None:
        operation = asked["Action"]
        self.server.asked.append((region, operation, dict(asked)))
        refusal = self._refusal(region, operation)
        if refusal is None and key not in self.server.identities:
            refusal = BAD_TOKEN
        if refusal is not None:
            error = f"<Error><Type>Sender</Type><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>"
            self._send(refusal.status, "text/xml", f"<ErrorResponse>{error}</ErrorResponse>")
            return
        account = self.server.identities[key]
        if operation == "AssumeRole":
            account = asked["RoleArn"].split(":")[4]
            fresh = f"key-of-{account}"
            self.server.identities[fresh] = account
            until = datetime.fromtimestamp(self.server.now + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            result = (
                f"<Credentials><AccessKeyId>{fresh}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                f"<SessionToken>t</SessionToken><Expiration>{until}</Expiration></Credentials>"
            )
        else:
            arn = f"arn:aws:sts::{account}:assumed-role/exporter/i-1"
            result = f"<Arn>{arn}</Arn><UserId>AROA:i-1</UserId><Account>{account}</Account>"
        name = f"{operation}Result"
        self._send(200, "text/xml", f"<{operation}Response><{name}>{result}</{name}></{operation}Response>")

    def _refusal(self, region: str, operation: str) -> Refusal | None:
        for where in (region, "*"):
            waiting = self.server.refuse.get((where, operation))
            if waiting:
                return waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return None

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def cloudwatch(now: float) -> Iterator[CloudWatch]:
    with CloudWatch(now) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join(5)
