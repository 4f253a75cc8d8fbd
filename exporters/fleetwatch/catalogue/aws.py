"""Where in AWS something is, and how AWS was asked for it."""

from __future__ import annotations

from fleetwatch.catalogue.metric import counter, gauge, label

ACCOUNT = label("account", "Account: its name in the settings, else its number.", at_most=50)
REGION = label("region", "Region of AWS.", at_most=40)
API = label("api", "Operation as IAM calls it: `ec2:DescribeInstances`.", at_most=60)

REQUESTS = counter(
    "aws.api.requests",
    unit="{request}",
    help="Requests to AWS, each attempt by itself, since the program started.",
    labels=(ACCOUNT, REGION, API),
)
THROTTLES = counter(
    "aws.api.throttles",
    unit="{request}",
    help="Of them, those that AWS turned away as too many.",
    labels=(ACCOUNT, REGION, API),
)
HELD_BACK = counter(
    "aws.api.held_back",
    unit="{request}",
    help="Requests that were not made, or waited, because the exporter's own budget for the operation was used up.",
    labels=(ACCOUNT, REGION, API),
)
DENIED = gauge(
    "aws.api.permission_denied",
    unit="",
    help="1 where the last request was turned away for want of a permission; absent where none was.",
    labels=(ACCOUNT, REGION, API),
)
LAST_SUCCESS = gauge(
    "aws.api.last_success.timestamp",
    unit="s",
    help="When a request last succeeded, Unix time.",
    labels=(ACCOUNT, REGION, API),
)
