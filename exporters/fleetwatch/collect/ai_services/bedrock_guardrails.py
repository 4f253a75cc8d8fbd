"""Guardrails of Amazon Bedrock.

    ai_service_items_total{service="bedrock_guardrails",resource="guardrail/gr1 DRAFT",item="intervention",…} 3

Names, units and dimensions: Amazon Bedrock user guide, "Monitor Amazon Bedrock Guardrails using CloudWatch metrics"
(monitoring-guardrails-cw-metrics), read 2026-11-21: "Throttled requests don't count as invocations or errors".

Published by operation, by content source, by policy type, and by guardrail with version. The last is read; by operation
only where it is missing. The others are further looks at the same calls.
"""

from __future__ import annotations

from fleetwatch.collect.ai_services._source import AiSource
from fleetwatch.collect.ai_services._table import Namespace, duration, items, requests
from fleetwatch.collect.runner import source

GUARDRAILS = Namespace(
    service="bedrock_guardrails",
    names=("AWS/Bedrock/Guardrails",),
    resource=("GuardrailArn", "GuardrailVersion"),
    operation=("Operation",),
    invocations="accepted",
    columns=(
        requests("total", "Invocations"),
        requests("client_error", "InvocationClientErrors"),
        requests("server_error", "InvocationServerErrors"),
        requests("throttled", "InvocationThrottles"),
        duration("whole", "InvocationLatency"),
        items("text_unit", "TextUnitCount"),
        items("intervention", "InvocationsIntervened"),
        items("finding", "TotalFindings"),
    ),
)


@source(interval=300, timeout=150)
class BedrockGuardrails(AiSource):
    namespaces = (GUARDRAILS,)
