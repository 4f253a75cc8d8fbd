"""Amazon Bedrock's models: the runtime endpoint and the OpenAI-compatible one ("Mantle").

    ai_service_requests_total{service="bedrock",resource="anthropic.claude-sonnet-4-5-20250929-v1:0",outcome="ok",…} 120
    ai_service_tokens_total{service="bedrock",resource="…",kind="cache_read",…} 5130000

Names, units and dimensions: Amazon Bedrock user guide, "Monitor bedrock-runtime inference using CloudWatch metrics"
(monitoring-runtime-metrics) and "Monitor bedrock-mantle inference using CloudWatch metrics"
(monitoring-mantle-metrics), read 2026-11-21.

- `Invocations`: one version of the page says that these are successful requests, another that they are those accepted,
  failed ones among them. `accepted` is right or nearly right in both cases: where it is not, calls that went well are
  too few by those that failed, and never fewer than none (`ai_services.invocations`).
- Throttled calls are in neither of the two.
- `InputTokenCount` is without tokens read from and written to the cache: the guide on token quotas adds the three.
- The page names `ModelId` as the dimension of all metrics, and image size and steps besides for images. Newer
  dimensions (service tier, context window) split the same calls: they are read only where `ModelId` alone is missing.
- Of Mantle the token names `TotalInputTokens` and `TotalOutputTokens` are not on the part of the page that was at
  hand; they are those that its users ask for. Its calls are "completed" ones.
- Knowledge Bases have no metrics: AWS documents logs only ("Monitor knowledge bases using CloudWatch Logs"). Their
  model calls are among the models' own.
"""

from __future__ import annotations

from fleetwatch.collect.ai_services._source import AiSource
from fleetwatch.collect.ai_services._table import Namespace, duration, items, level, requests, tokens
from fleetwatch.collect.runner import source

RUNTIME = Namespace(
    service="bedrock",
    names=("AWS/Bedrock",),
    resource=("ModelId",),
    besides=("BucketedStepSize", "ContextWindow", "ImageSize", "ResolvedServiceTier", "ServiceTier"),
    invocations="accepted",
    provider="aws.bedrock",
    columns=(
        requests("total", "Invocations"),
        requests("client_error", "InvocationClientErrors"),
        requests("server_error", "InvocationServerErrors"),
        requests("throttled", "InvocationThrottles"),
        tokens("input", "InputTokenCount"),
        tokens("output", "OutputTokenCount", "outputTokenCount"),
        tokens("cache_read", "CacheReadInputTokens", "CacheReadInputTokenCount"),
        tokens("cache_write", "CacheWriteInputTokens", "CacheWriteInputTokenCount"),
        duration("whole", "InvocationLatency"),
        duration("first_token", "TimeToFirstToken"),
        items("image", "OutputImageCount"),
        items("legacy_model_call", "LegacyModelInvocations"),
        items("log_delivered", "ModelInvocationLogsCloudWatchDeliverySuccess"),
        items("log_lost", "ModelInvocationLogsCloudWatchDeliveryFailure"),
        level("quota_tokens_per_minute", "Sum", "EstimatedTPMQuotaUsage"),
    ),
)

MANTLE = Namespace(
    service="bedrock_mantle",
    names=("AWS/BedrockMantle",),
    resource=("Model",),
    besides=("Project",),
    invocations="successful",
    provider="aws.bedrock",
    columns=(
        requests("total", "Inferences"),
        requests("client_error", "InferenceClientErrors"),
        requests("server_error", "InferenceServerErrors"),
        requests("throttled", "InferenceThrottles"),
        tokens("input", "TotalInputTokens", "InputTokens"),
        tokens("output", "TotalOutputTokens", "OutputTokens"),
        tokens("cache_read", "TotalCacheReadInputTokens", "CacheReadInputTokens"),
        tokens("cache_write", "TotalCacheWriteInputTokens", "CacheWriteInputTokens"),
        duration("whole", "InferenceLatency"),
        duration("first_token", "TimeToFirstToken"),
    ),
)


@source(interval=300, timeout=150)
class Bedrock(AiSource):
    namespaces = (RUNTIME, MANTLE)
