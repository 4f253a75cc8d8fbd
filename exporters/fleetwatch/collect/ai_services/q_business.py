"""Amazon Q Business and its Q Apps; closed to new customers.

    ai_service_items_total{service="q_business",resource="a1b2…",item="chat_without_answer",…} 7

Names, units and dimensions: Amazon Q Business user guide, "Amazon Q Business API operation metrics", "… chat metrics",
"… index metrics" and "Amazon Q Apps metrics" (qbusiness-metrics-*, qapps-metrics), read 2026-11-21. The last names its
namespace, AWS/QApps. AWS/QBusiness is the one that AWS has its users allow for writing (`cloudwatch:namespace` in the
role of an application, "IAM roles for Amazon Q Business").

Calls are told as success or failure, without whose fault a failure is. `latency` is that of any call, `Latency` that of
chats, which are calls, too.
"""

from __future__ import annotations

from fleetwatch.collect.ai_services._source import AiSource
from fleetwatch.collect.ai_services._table import Namespace, duration, items, level, requests
from fleetwatch.collect.runner import source

BUSINESS = Namespace(
    service="q_business",
    names=("AWS/QBusiness",),
    resource=("ApplicationId",),
    operation=("MethodType", "API name"),
    besides=("DataSourceId", "IndexId", "PluginId"),
    columns=(
        requests("ok", "success"),
        requests("error", "failure"),
        duration("whole", "latency"),
        duration("chat", "Latency"),
        duration("first_token", "TimeToFirstToken"),
        items("chat_message", "ChatMessages"),
        items("chat_without_answer", "ChatMessagesWithNoAnswer"),
        items("chat_blocked", "BlockedChatMessages"),
        items("chat_hallucinated", "HallucinatedChatMessages"),
        items("action", "ActionInvocationCount"),
        items("action_error", "ActionErrorCount"),
        items("document_indexed", "DocumentsIndexed"),
        items("document_failed", "DocumentsFailedToIndex"),
        level("documents", "Maximum", "DocumentCount"),
    ),
)

APPS = Namespace(
    service="q_apps",
    names=("AWS/QApps",),
    resource=("ApplicationId",),
    columns=(items("app_run", "QAppExecuted"),),
)


@source(interval=300, timeout=150)
class QBusiness(AiSource):
    namespaces = (BUSINESS, APPS)
