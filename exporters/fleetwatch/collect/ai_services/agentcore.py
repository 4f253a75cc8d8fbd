"""Amazon Bedrock AgentCore: runtimes, memories, gateways, built-in tools.

    ai_service_requests_total{service="agentcore",resource="runtime/triage-x1",operation="InvokeAgentRuntime",…} 40

Names and units: AgentCore developer guide, "AgentCore generated runtime observability data" and the pages of the same
kind on memory, gateway and tools (observability-*-metrics), read 2026-11-21. "Each API call counts as one invocation
regardless of the response status": throttled and failed ones are among them.

The guide's page on gateways names the namespace `AWS/Bedrock-AgentCore`, that on memory `Bedrock-AgentCore`: both are
looked at. Dimensions there: Operation, Protocol, Method, Resource, Name; on runtimes also Service, as users of them
show. `Latency` is the whole call of a runtime, and the time to the first token of a gateway and of a tool. Use of
processors and memory is not read: its names and dimensions are not on these pages.
"""

from __future__ import annotations

from fleetwatch.collect.ai_services._source import AiSource
from fleetwatch.collect.ai_services._table import Namespace, duration, items, level, requests
from fleetwatch.collect.runner import source

AGENTCORE = Namespace(
    service="agentcore",
    names=("AWS/Bedrock-AgentCore", "Bedrock-AgentCore"),
    resource=("Resource",),
    operation=("Operation", "Method"),
    besides=("Name", "Protocol", "Service"),
    invocations="all",
    columns=(
        requests("total", "Invocations"),
        requests("client_error", "UserErrors"),
        requests("server_error", "SystemErrors"),
        requests("throttled", "Throttles"),
        duration("whole", "Latency"),
        duration("session", "Duration"),
        items("session", "Sessions", "SessionCount"),
        level("sessions", "Maximum", "ActiveSessionCount"),
    ),
)


@source(interval=300, timeout=150)
class Agentcore(AiSource):
    namespaces = (AGENTCORE,)
