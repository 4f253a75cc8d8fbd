"""Amazon Textract.

    ai_service_requests_total{service="textract",resource="all",operation="AnalyzeDocument",outcome="throttled",…} 9

Names, units and the one dimension, Operation: Amazon Textract developer guide, "Monitoring Amazon Textract"
(textract-monitoring), read 2026-11-21. Without a dimension the same figures are those of all operations: they are read
only where none has its own.

No cost: Textract is billed by pages, and CloudWatch counts requests, of which one may have 3,000 pages.
"""

from __future__ import annotations

from fleetwatch.collect.ai_services._source import AiSource
from fleetwatch.collect.ai_services._table import Namespace, duration, requests
from fleetwatch.collect.runner import source

TEXTRACT = Namespace(
    service="textract",
    names=("AWS/Textract",),
    operation=("Operation",),
    columns=(
        requests("ok", "SuccessfulRequestCount"),
        requests("client_error", "UserErrorCount"),
        requests("server_error", "ServerErrorCount"),
        requests("throttled", "ThrottledCount"),
        duration("whole", "ResponseTime"),
    ),
)


@source(interval=300, timeout=150)
class Textract(AiSource):
    namespaces = (TEXTRACT,)
