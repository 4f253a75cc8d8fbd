"""Agents of Amazon Bedrock.

    ai_service_requests_total{service="bedrock_agents",resource="agent-alias/AG1/AL1",operation="InvokeAgent",…} 12

Names, units and dimensions: Amazon Bedrock user guide, "Monitor Amazon Bedrock Agents using CloudWatch Metrics"
(monitoring-agents-cw-metrics), read 2026-11-21. The page spells `outputTokenCount` in its first table and
`OutputTokenCount` in its second: both are looked for.

Published three times: by operation, by operation and model, and with the agent's alias as well. InvokeInlineAgent has
no alias. The finest is read for each operation, over all models.

The models' tokens get no price here: they are in AWS/Bedrock, too, and would be paid twice.
"""

from __future__ import annotations

from fleetwatch.collect.ai_services._source import AiSource
from fleetwatch.collect.ai_services._table import Namespace, duration, items, requests, tokens
from fleetwatch.collect.runner import source

AGENTS = Namespace(
    service="bedrock_agents",
    names=("AWS/Bedrock/Agents",),
    resource=("AgentAliasArn",),
    operation=("Operation",),
    besides=("ModelId",),
    invocations="accepted",
    columns=(
        requests("total", "InvocationCount"),
        requests("client_error", "InvocationClientErrors"),
        requests("server_error", "InvocationServerErrors"),
        requests("throttled", "InvocationThrottles"),
        tokens("input", "InputTokenCount"),
        tokens("output", "outputTokenCount", "OutputTokenCount"),
        duration("whole", "TotalTime"),
        duration("first_token", "TTFT"),
        duration("model", "ModelLatency"),
        items("model_call", "ModelInvocationCount"),
    ),
)


@source(interval=300, timeout=150)
class BedrockAgents(AiSource):
    namespaces = (AGENTS,)
