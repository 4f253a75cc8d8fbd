"""Every request to AWS counted, and what went wrong said in words that lead to a repair.

The codes are those of AWS's "Common Error Types" and of botocore's own exceptions and retry tables.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from fleetwatch.catalogue import exporter
from fleetwatch.catalogue.metric import NANO, Sample

Cause = Literal["throttled", "denied", "credentials", "region", "unreachable", "error", "held_back"]
"""held_back: it was not asked, for the exporter's own budget."""

LONGEST = 300
"""Characters of AWS's own words that are repeated."""

POLICY = "deploy/aws/ai-services-policy.json"
"""What may be allowed, beside this code; by service the three below."""
SPOT_POLICY = "deploy/aws/spot-policy.json"
STORAGE_POLICY = "deploy/aws/storage-policy.json"
ACCOUNTS_POLICY = "deploy/aws/other-accounts-policy.json"
_SPOT = frozenset(
    {
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeSpotInstanceRequests",
        "ec2:DescribeSpotPriceHistory",
        "ec2:GetCapacityManagerMetricData",
        "ec2:GetSpotPlacementScores",
    }
)

_CODES: dict[str, Cause] = {
    **dict.fromkeys(
        (
            "AccessDenied",
            "AccessDeniedException",
            "AuthorizationError",
            "AuthorizationErrorException",
            "NotAuthorized",
            "UnauthorizedOperation",
        ),
        "denied",
    ),
    **dict.fromkeys(
        (
            "AuthFailure",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        "credentials",
    ),
    **dict.fromkeys(("OptInRequired", "RegionDisabledException", "InvalidRegion"), "region"),
    **dict.fromkeys(
        (
            "BandwidthLimitExceeded",
            "LimitExceededException",
            "PriorRequestNotComplete",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ),
        "throttled",
    ),
}

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})

# Where no answer came: names of botocore's exceptions, whose classes are not loaded here.
_NO_ANSWER = frozenset(
    {
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "ConnectionError",
        "EndpointConnectionError",
        "HTTPClientError",
        "ProxyConnectionError",
        "ReadTimeoutError",
        "ResponseStreamingError",
        "SSLError",
    }
)
_NO_IDENTITY = frozenset(
    {
        "ConfigNotFound",
        "CredentialRetrievalError",
        "InvalidConfigError",
        "LoginError",
        "MetadataRetrievalError",
        "NoCredentialsError",
        "NoAuthTokenError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "RefreshWithMFAUnsupportedError",
        "SSOError",
        "SSOTokenLoadError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
)

# List prices of us-east-1 in nano-USD, from AWS' pricing pages for CloudWatch and Cost Explorer as of 2026-11. Other
# regions differ little; the free million requests a month (ListMetrics, not GetMetricData) are left out.
PRICES: Mapping[tuple[str, str], int] = {
    ("cloudwatch", "GetMetricData"): NANO // 100_000,  # a metric requested
    ("cloudwatch", "ListMetrics"): NANO // 100_000,  # a request
    ("ce", "GetCostAndUsage"): NANO // 100,  # a request, each page by itself
}


class Trouble(Exception):  # noqa: N818 - what it was is in `cause`
    """A request that failed for good.

    permission: of a denied request, as IAM calls it; why: what AWS answered; fix: what a person does, one sentence.
    """

    def __init__(self, cause: Cause, why: str, fix: str, permission: str = "") -> None:
        super().__init__(f"{why}. {fix}" if fix else why)
        self.cause = cause
        self.why = why
        self.fix = fix
        self.permission = permission


class Calls:
    """Counts the requests of one collector; for use by several threads at once."""

    def __init__(self, collector: str) -> None:
        self._collector = collector
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._items: Counter[tuple[str, str]] = Counter()

    def answered(self, api: str, operation: str, outcome: str, items: int) -> None:
        """One attempt has ended. items: what AWS bills for, as metrics requested; a denied attempt is free."""
        with self._lock:
            self._requests[api, operation, outcome] += 1
            if outcome == "ok":
                self._items[api, operation] += items

    def samples(self) -> Iterator[Sample]:
        with self._lock:
            requests, items = dict(self._requests), dict(self._items)
        for (api, operation, outcome), count in sorted(requests.items()):
            yield exporter.API_REQUESTS(count, collector=self._collector, api=api, operation=operation, outcome=outcome)
        for (api, operation), count in sorted(items.items()):
            labels = {"collector": self._collector, "api": api, "operation": operation}
            yield exporter.API_ITEMS(count, **labels)
            price = PRICES.get((api, operation))
            if price is not None:
                yield exporter.API_COST(count * price / NANO, **labels)

    def actions(self) -> set[str]:
        """What IAM must allow for the requests that were made, as `cloudwatch:ListMetrics`."""
        with self._lock:
            return {action(api, operation) for api, operation, _ in self._requests}


_BATCHES = {"sqs:DeleteMessageBatch": "sqs:DeleteMessage"}
"""Operations that IAM knows by the name of another."""


def action(api: str, operation: str) -> str:
    """IAM's name for an operation; the service names of these APIs are IAM's prefixes."""
    name = f"{api}:{operation}"
    return _BATCHES.get(name, name)


def outcome_of(code: str, status: int, exception: BaseException | None = None) -> str:
    """One of exporter.API_OUTCOME for the answer to one attempt. code: of the error, empty for none."""
    if exception is not None:
        return cause_of(exception)
    if not code:
        return "ok" if status < 400 else "error"
    return _cause_of_code(code, status)


def cause_of(error: BaseException) -> Cause:
    """What kind of failure an exception of the SDK is."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return _cause_of_code(*code_of(response))
    names = {item.__name__ for item in type(error).__mro__}
    if names & _NO_IDENTITY:
        return "credentials"
    if "NoRegionError" in names:
        return "region"
    return "unreachable" if names & _NO_ANSWER else "error"


def trouble_of(error: Exception, api: str, operation: str, where: str) -> Trouble:
    """What a failed request is to a person. where: account and region."""
    cause = cause_of(error)
    response = getattr(error, "response", None)
    code = code_of(response)[0] if isinstance(response, dict) else ""
    said = plain(f"{code}: {_message(error)}" if code else str(error))
    why = f"{action(api, operation)} in {where}: {said}"
    return Trouble(cause, why, _fix(cause, code, api, operation), action(api, operation) if cause == "denied" else "")


def _fix(cause: Cause, code: str, api: str, operation: str) -> str:
    if code in _EXPIRED:
        return "The credentials have run out: renew them, or give the exporter a role, which renews itself."
    if cause == "credentials" and not code:
        return "Give the exporter an identity: a role of its machine or pod, or a profile of AWS' files (aws.profile)."
    return {
        "denied": f"Allow {action(api, operation)} to the exporter's identity, as in {_policy(api, operation)}.",
        "credentials": (
            "Give valid credentials (a role, or aws.profile); where other regions work, this one may be switched off "
            "for the account: take it out of aws.regions."
        ),
        "region": "Set aws.regions to regions that are switched on for the account.",
        "unreachable": "Look at network, proxy and aws.endpoint_url.",
        "throttled": "Ask less often (collect.<source>.interval) or for a higher quota of this API.",
        "error": "",
        "held_back": "",
    }[cause]


def _policy(api: str, operation: str) -> str:
    """The file that has the operation."""
    if api in {"pricing", "sqs"} or action(api, operation) in _SPOT:
        return SPOT_POLICY
    return {"ec2": STORAGE_POLICY, "sts": ACCOUNTS_POLICY}.get(api, POLICY)


def code_of(response: Mapping[str, Any]) -> tuple[str, int]:
    """Error code (empty for none) and HTTP status of an answer."""
    error, meta = response.get("Error") or {}, response.get("ResponseMetadata") or {}
    # "com.amazonaws.cloudwatch#ThrottlingException" and "Throttling:https://..." are both on record.
    code = str(error.get("Code", "")).rpartition("#")[2].partition(":")[0]
    return code, int(meta.get("HTTPStatusCode") or 0)


def _cause_of_code(code: str, status: int) -> Cause:
    found = _CODES.get(code)
    if found is not None:
        return found
    return "throttled" if status == 429 else "denied" if status == 403 else "error"


def _message(error: Exception) -> str:
    """AWS's own words, the first line: where a signature is wrong the others repeat the request with its token."""
    response: Any = getattr(error, "response", {})
    text = str((response.get("Error") or {}).get("Message", "")).strip()
    return text.partition("\n")[0].partition("The Canonical String")[0] or type(error).__name__


def plain(text: str) -> str:
    """One line of printable text: AWS repeats what others have named."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split()).rstrip(".")
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"
