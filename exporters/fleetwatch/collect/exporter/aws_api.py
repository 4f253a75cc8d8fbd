"""How AWS was asked by all sources together, and how it went.

    aws_api_requests_total{account="prod",region="eu-west-1",api="ec2:DescribeInstances"} 311

Nothing is asked here: the counts are kept where requests are made.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import NoData, source


@source(interval=15)
def aws_api(here: Here) -> Iterator[Sample]:
    if here.aws is None:
        raise NoData
    yield from here.aws.samples()
