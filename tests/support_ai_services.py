"""What AWS's AI services tell CloudWatch, with the names and dimensions that AWS documents: 20 minutes of each."""

from __future__ import annotations

from collections.abc import Callable

from fleetwatch.collect.ai_services._source import AiSource
from fleetwatch.collect.ai_services.agentcore import Agentcore
from fleetwatch.collect.ai_services.bedrock import Bedrock
from fleetwatch.collect.ai_services.bedrock_agents import BedrockAgents
from fleetwatch.collect.ai_services.bedrock_guardrails import BedrockGuardrails
from fleetwatch.collect.ai_services.comprehend import Comprehend
from fleetwatch.collect.ai_services.q_business import QBusiness
from fleetwatch.collect.ai_services.textract import Textract
from support_aws import MODEL, each_minute, minutes
from support_cloudwatch import CloudWatch

ARN = "arn:aws:{}:eu-west-1:111122223333:{}"


def bedrock(cloud: CloudWatch) -> None:
    """12 calls a minute, of which one is the caller's fault; one more is throttled."""
    cloud.put("Invocations", each_minute([1] * 12, 20), ModelId=MODEL)
    cloud.put("InvocationClientErrors", each_minute(1, 20), ModelId=MODEL)
    cloud.put("InvocationThrottles", each_minute(1, 20), ModelId=MODEL)
    cloud.put("InvocationLatency", each_minute([1000] * 11 + [4000], 20), ModelId=MODEL)
    cloud.put("TimeToFirstToken", each_minute([250] * 12, 20), ModelId=MODEL)
    cloud.put("InputTokenCount", each_minute([100] * 12, 20), ModelId=MODEL)
    cloud.put("CacheReadInputTokens", each_minute([5000] * 12, 20), ModelId=MODEL)
    cloud.put("OutputTokenCount", each_minute([50] * 12, 20), ModelId=MODEL)
    cloud.put("EstimatedTPMQuotaUsage", each_minute(1800, 20), ModelId=MODEL)
    cloud.put(
        "OutputImageCount",
        each_minute([1, 1], 20),
        ModelId="amazon.nova-canvas-v1:0",
        ImageSize="1024",
        BucketedStepSize="50",
    )
    cloud.put("Invocations", each_minute([1, 1], 20), ModelId="amazon.nova-canvas-v1:0")
    cloud.put(
        "Inferences", each_minute(3, 20), namespace="AWS/BedrockMantle", Model="openai.gpt-oss-120b", Project="p1"
    )
    cloud.put(
        "InferenceClientErrors",
        each_minute(1, 20),
        namespace="AWS/BedrockMantle",
        Model="openai.gpt-oss-120b",
        Project="p1",
    )
    cloud.put(
        "TotalInputTokens", each_minute(900, 20), namespace="AWS/BedrockMantle", Model="a-model-of-ours", Project="p1"
    )


def bedrock_agents(cloud: CloudWatch) -> None:
    alias = ARN.format("bedrock", "agent-alias/AG1/AL1")
    for more in ({}, {"ModelId": MODEL}, {"ModelId": MODEL, "AgentAliasArn": alias}):
        names = {"Operation": "InvokeAgent", **more}
        for metric, value in {
            "InvocationCount": 6,
            "InvocationServerErrors": 2,
            "TotalTime": 9000,
            "TTFT": 700,
            "ModelLatency": 3000,
            "ModelInvocationCount": 14,
            "InputTokenCount": 4000,
            "outputTokenCount": 300,
        }.items():
            cloud.put(metric, each_minute(value, 20), namespace="AWS/Bedrock/Agents", **names)
    cloud.put("InvocationCount", each_minute(1, 20), namespace="AWS/Bedrock/Agents", Operation="InvokeInlineAgent")


def bedrock_guardrails(cloud: CloudWatch) -> None:
    version = {"GuardrailArn": ARN.format("bedrock", "guardrail/gr1"), "GuardrailVersion": "DRAFT"}
    for names in ({"Operation": "ApplyGuardrail"}, {"GuardrailContentSource": "Input"}, version):
        for metric, value in {
            "Invocations": 10,
            "InvocationLatency": 120,
            "InvocationsIntervened": 3,
            "TextUnitCount": 25,
        }.items():
            cloud.put(metric, each_minute(value, 20), namespace="AWS/Bedrock/Guardrails", **names)


def agentcore(cloud: CloudWatch) -> None:
    space = {"namespace": "AWS/Bedrock-AgentCore"}
    runtime = {"Resource": ARN.format("bedrock-agentcore", "runtime/triage-x1"), "Operation": "InvokeAgentRuntime"}
    for names in ({}, {"Service": "AgentCore.Runtime"}, runtime, {**runtime, "Name": "triage::DEFAULT"}):
        for metric, value in {"Invocations": 20, "Throttles": 4, "SystemErrors": 3, "UserErrors": 1}.items():
            cloud.put(metric, each_minute(value, 20), **space, **names)
    cloud.put("Latency", each_minute([2000, 4000], 20), **space, **runtime)
    cloud.put("Sessions", each_minute(2, 20), **space, **runtime)
    cloud.put("ActiveSessionCount", minutes([3, 5, 4]), **space, Service="AgentCore.Runtime")
    # As the page on memories names it.
    memory = {"Resource": ARN.format("bedrock-agentcore", "memory/m1"), "Operation": "CreateEvent"}
    cloud.put("Invocations", each_minute(1, 20), namespace="Bedrock-AgentCore", **memory)


def q_business(cloud: CloudWatch) -> None:
    space = {"namespace": "AWS/QBusiness", "ApplicationId": "app-1"}
    cloud.put("success", each_minute(9, 20), **space, MethodType="ChatSync")
    cloud.put("failure", each_minute(1, 20), **space, MethodType="ChatSync")
    cloud.put("latency", each_minute(800, 20), **space, MethodType="ChatSync")
    cloud.put("Latency", each_minute(5000, 20), **space, API_name="ChatSync")
    cloud.put("ChatMessages", each_minute(9, 20), **space)
    cloud.put("ChatMessagesWithNoAnswer", each_minute(2, 20), **space)
    cloud.put("DocumentsIndexed", each_minute(30, 20), **space, IndexId="i")
    cloud.put("DocumentsIndexed", each_minute(30, 20), **space, IndexId="i", DataSourceId="d")
    cloud.put("DocumentCount", minutes([1000, 1010]), **space, IndexId="i")
    cloud.put("QAppExecuted", each_minute(1, 20), namespace="AWS/QApps", ApplicationId="app-1")


def textract(cloud: CloudWatch) -> None:
    for names in ({}, {"Operation": "AnalyzeDocument"}):
        cloud.put("SuccessfulRequestCount", each_minute(5, 20), namespace="AWS/Textract", **names)
        cloud.put("UserErrorCount", each_minute(4, 20), namespace="AWS/Textract", **names)
        cloud.put("ServerErrorCount", each_minute(1, 20), namespace="AWS/Textract", **names)
        cloud.put("ThrottledCount", each_minute(10, 20), namespace="AWS/Textract", **names)
        cloud.put("ResponseTime", each_minute([1500, 2500], 20), namespace="AWS/Textract", **names)


def comprehend(cloud: CloudWatch) -> None:
    names = {"namespace": "AWS/Comprehend", "EndpointArn": ARN.format("comprehend", "document-classifier-endpoint/t")}
    cloud.put("RequestedInferenceUnits", each_minute(2.5, 20), **names)
    cloud.put("ConsumedInferenceUnits", each_minute(2.25, 20), **names)
    cloud.put("ProvisionedInferenceUnits", each_minute(2, 20), **names)
    cloud.put("InferenceUtilization", each_minute(90, 20), **names)


SOURCES: dict[type[AiSource], Callable[[CloudWatch], None]] = {
    Agentcore: agentcore,
    Bedrock: bedrock,
    BedrockAgents: bedrock_agents,
    BedrockGuardrails: bedrock_guardrails,
    Comprehend: comprehend,
    QBusiness: q_business,
    Textract: textract,
}
