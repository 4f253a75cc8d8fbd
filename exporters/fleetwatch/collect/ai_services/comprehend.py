"""Endpoints of Amazon Comprehend, in inference units: one is 100 characters a second, and is billed while it is up.

    ai_service_level{service="comprehend",resource="document-classifier-endpoint/x",level="units_used_ratio",…} 0.8

Names and the one dimension, EndpointArn: Amazon Comprehend developer guide, "Monitoring Amazon Comprehend endpoints"
(manage-endpoints-monitor); the namespace: Application Auto Scaling user guide, which scales these endpoints by
`InferenceUtilization` of AWS/Comprehend; both read 2026-11-21.

Units that were asked for and not consumed were turned away. Calls without an endpoint have no metrics; calls and their
errors have none at all.

No cost: units are billed by the second and region, and no list of these prices is at hand.
"""

from __future__ import annotations

from fleetwatch.collect.ai_services._source import AiSource
from fleetwatch.collect.ai_services._table import Namespace, items, level
from fleetwatch.collect.runner import source

COMPREHEND = Namespace(
    service="comprehend",
    names=("AWS/Comprehend",),
    resource=("EndpointArn",),
    capacity=("unit_requested", "unit_consumed"),
    columns=(
        items("unit_requested", "RequestedInferenceUnits"),
        items("unit_consumed", "ConsumedInferenceUnits"),
        level("units_provisioned", "Average", "ProvisionedInferenceUnits"),
        # In percent, as the auto scaling guide's target values are.
        level("units_used_ratio", "Sum", "InferenceUtilization", scale=0.01),
    ),
)


@source(interval=300, timeout=150)
class Comprehend(AiSource):
    namespaces = (COMPREHEND,)
