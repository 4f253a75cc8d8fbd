"""Against moto's CloudWatch: another reading of the same API by other people.

moto has no percentiles, so only a source that asks for none is tried here.
"""

from __future__ import annotations

import datetime
import time

import botocore.session
import pytest

from fleetwatch.aws import Access
from fleetwatch.aws.session import Aws
from fleetwatch.catalogue import ai_services
from fleetwatch.catalogue.metric import Metric
from fleetwatch.collect import Here
from fleetwatch.collect.ai_services.comprehend import Comprehend

ARN = "arn:aws:comprehend:eu-west-1:111122223333:document-classifier-endpoint/tickets"


def test_an_endpoint_s_units_are_counted(moto: str) -> None:
    client = botocore.session.Session().create_client("cloudwatch", region_name="eu-west-1", endpoint_url=moto)
    # moto judges "recently active" by its own clock, which is the machine's.
    start = time.time() // 300 * 300 - 3600
    units = {"RequestedInferenceUnits": 3.0, "ConsumedInferenceUnits": 2.0, "ProvisionedInferenceUnits": 4.0}
    for minute in range(30):
        client.put_metric_data(
            Namespace="AWS/Comprehend",
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": "EndpointArn", "Value": ARN}],
                    "Timestamp": datetime.datetime.fromtimestamp(start + 60 * minute + 20, datetime.UTC),
                    "Value": value,
                }
                for name, value in units.items()
            ],
        )
    now = [start + 600]
    source = Comprehend(
        Here(aws=Aws(Access(regions=("eu-west-1",), endpoint_url=moto, attempts=1)), clock=lambda: now[0])
    )
    list(source())
    now[0] += 600
    samples = list(source())

    def value(metric: Metric, label: str) -> float:
        [found] = [item.value for item in samples if item.metric is metric and label in item.labels]
        return found

    assert value(ai_services.ITEMS, "unit_requested") == 30
    assert value(ai_services.ITEMS, "unit_consumed") == 20
    assert value(ai_services.LEVELS, "units_provisioned") == 4
    assert value(ai_services.HEALTH, "throttled") == 1
    assert value(ai_services.WINDOW_THROTTLED, "document-classifier-endpoint/tickets") == pytest.approx(1 / 3)
