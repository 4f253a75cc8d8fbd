"""AWS Cost Explorer on loopback. Requests and answers must fit the service model that AWS ships with its SDK.

Protocol: AWS JSON 1.1; the operation stands in X-Amz-Target.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from fleetwatch.collect.bills._shelf import iso, number_of

ACCOUNT = "111122223333"

Group = tuple[str, str, str]
"""Account, service, amount."""


class CostExplorer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.books: dict[int, list[Group]] = {}
        self.estimated_from = 1 << 30
        self.unit = "USD"
        self.page_size = 5000
        """Groups on a page: a day may be cut in the middle."""
        self.asked: list[dict[str, Any]] = []
        self.targets: list[str] = []
        self.odd: dict[int, tuple[int, str, str]] = {}
        """Number of a request (from 0) -> status, error code and message."""
        self.wrong: list[str] = []
        """What was said against the model; a test looks that there is nothing."""
        self.model = botocore.session.Session().get_service_model("ce").operation_model("GetCostAndUsage")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, target: str, authorization: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        number = len(self.asked)
        self.asked.append(asked)
        self.targets.append(target)
        self.check("request", asked, self.model.input_shape)
        if "/us-east-1/ce/aws4_request" not in authorization:
            return 403, {"__type": "UnrecognizedClientException", "message": f"signed for {authorization}"}
        if number in self.odd:
            status, code, message = self.odd[number]
            return status, {"__type": code, "Message": message}
        page = self.page(asked)
        self.check("answer", page, self.model.output_shape)
        return 200, page

    def page(self, asked: dict[str, Any]) -> dict[str, Any]:
        first, end = (number_of(asked["TimePeriod"][name]) for name in ("Start", "End"))
        start = int(asked.get("NextPageToken", "0"))
        flat = [(day, group) for day in range(first, end) for group in self.books.get(day, [])]
        chosen = flat[start : start + self.page_size]
        # A day without a row is in the answer all the same, on the first page.
        days = {day for day, _ in chosen} | (set(range(first, end)) - {day for day, _ in flat} if not start else set())
        found: dict[str, Any] = {
            "GroupDefinitions": asked["GroupBy"],
            "ResultsByTime": [
                {
                    "TimePeriod": {"Start": iso(day), "End": iso(day + 1)},
                    "Total": {},
                    "Groups": [self.group(group) for its, group in chosen if its == day],
                    "Estimated": day >= self.estimated_from,
                }
                for day in sorted(days)
            ],
            "DimensionValueAttributes": [],
        }
        if start + self.page_size < len(flat):
            found["NextPageToken"] = str(start + self.page_size)
        return found

    def group(self, group: Group) -> dict[str, Any]:
        account, service, amount = group
        return {"Keys": [account, service], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": self.unit}}}

    def check(self, what: str, parameters: dict[str, Any], shape: Any) -> None:
        report = ParamValidator().validate(parameters, shape)
        if report.has_errors():
            self.wrong.append(f"{what}: {report.generate_report()}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body of an answer come 40 ms apart
    server: CostExplorer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, said = self.server.answer(self.headers["X-Amz-Target"], self.headers["Authorization"], asked)
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def cost_explorer() -> Iterator[CostExplorer]:
    with CostExplorer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)
