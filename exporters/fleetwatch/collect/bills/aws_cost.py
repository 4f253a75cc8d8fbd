"""AWS' bill for LLM calls, by account and service, from Cost Explorer.

bill_line_usd{provider="aws",account="111122223333",line="Amazon Bedrock"} 41.2
bill_estimated_usd{provider="aws",window="1d"} 41.2

Interface: GetCostAndUsage. A request costs 0.01 US dollars, so one asks for all days and all services. Those that are
LLM calls are picked here: models of other makers are services of their own, "Claude … (Amazon Bedrock Edition)".
Unblended cost without credits, refunds and tax, which no call makes. Days are estimates until a month's bill is final.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from fleetwatch.aws.access import Account, Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.bills._api import ApiError
from fleetwatch.collect.bills._reading import Reading, Span, check_currency, moment
from fleetwatch.collect.bills._shelf import iso
from fleetwatch.collect.bills._source import BillSource
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import Denied, source
from fleetwatch.reckon.bills import nano

API, OPERATION = "ce", "GetCostAndUsage"
REGION = "us-east-1"
"""Where Cost Explorer of all regions is."""
METRIC = "UnblendedCost"
NOT_OF_CALLS = ["Credit", "Refund", "Tax"]
PAGES = 20
"""Of 5,000 groups each: a month of 30 accounts with 100 services each."""

_FIX = (
    "Allow ce:GetCostAndUsage to the exporter's identity, as in deploy/aws/bills-policy.json, and see that Cost "
    "Explorer is switched on in the account."
)


@source(interval=300, timeout=120)
class AwsCost(BillSource):
    """Reads all days of the span each time: AWS changes past days until the bill is final, and it costs the same."""

    provider = "aws"

    def __init__(self, here: Here) -> None:
        super().__init__(here)
        self._aws = here.aws
        self._calls = Calls("aws_cost")

    def read(self, found: Reading) -> None:
        """Raises Denied, ApiError."""
        pages: list[dict[str, Any]] = []
        try:
            pages.extend(self._pages(found.span))
        except Trouble as trouble:
            if trouble.permission:
                raise Denied(trouble.permission, trouble.why, _FIX) from None
            raise ApiError(str(trouble)) from None
        # Not before all pages are here: a day's services may be on several.
        for page in pages:
            for result in page.get("ResultsByTime") or ():
                day = _day(result, found)
                found.bill(day, OPERATION, partial(self._rows, result))
                if result.get("Estimated"):
                    found.estimated.add(day)

    def requests(self) -> Iterator[Sample]:
        return self._calls.samples()

    def _pages(self, span: Span) -> Iterator[dict[str, Any]]:
        if self._aws is None:
            raise ApiError("bills.aws: expected a way to AWS, got none")
        account = Account("", self.access.role_arn, self.access.external_id)
        call = self._aws.caller(API, Target(account, REGION), self._calls)
        parameters: dict[str, Any] = {
            "TimePeriod": {"Start": iso(span.start), "End": iso(span.end)},
            "Granularity": "DAILY",
            "Metrics": [METRIC],
            "GroupBy": [{"Type": "DIMENSION", "Key": key} for key in ("LINKED_ACCOUNT", "SERVICE")],
            "Filter": {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": NOT_OF_CALLS}}},
        }
        seen: set[str] = set()
        for _ in range(PAGES):
            page = call(OPERATION, parameters)
            yield page
            token = page.get("NextPageToken")
            if not token:
                return
            if token in seen:
                raise ApiError(f"{OPERATION}: expected a new NextPageToken, got one for the second time")
            seen.add(token)
            parameters = {**parameters, "NextPageToken": token}
        raise ApiError(f"{OPERATION}: expected at most {PAGES} pages, got more")

    def _rows(self, result: Mapping[str, Any]) -> Iterable[tuple[str, str, int]]:
        for group in result.get("Groups") or ():
            keys: list[str] = group.get("Keys") or []
            if len(keys) != 2:
                raise ValueError(f"Keys: expected an account and a service, got {keys!r:.60}")
            account, service = keys
            if any(fnmatchcase(service, pattern) for pattern in self.access.services):
                cost = (group.get("Metrics") or {}).get(METRIC) or {}
                check_currency(cost.get("Unit"))
                yield account, service, nano(cost.get("Amount"))


def _day(result: Mapping[str, Any], found: Reading) -> int:
    """Raises ValueError."""
    period = result.get("TimePeriod") or {}
    start, end = (moment(period.get(name), f"{OPERATION}: TimePeriod.{name}") for name in ("Start", "End"))
    return found.whole_day(start, end, OPERATION)
