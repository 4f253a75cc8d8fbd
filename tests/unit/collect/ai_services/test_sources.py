"""Each source from CloudWatch's values to a scrape. Names and dimensions are those that AWS documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleetwatch.catalogue import ai_services
from fleetwatch.collect.ai_services._source import AiSource
from fleetwatch.collect.ai_services.bedrock import Bedrock
from fleetwatch.collect.ai_services.textract import Textract
from fleetwatch.collect.here import AiServices
from support_ai_services import SOURCES, bedrock
from support_aws import MODEL, Watched, each_minute
from support_cloudwatch import CloudWatch


@pytest.mark.parametrize(("kind", "fill"), SOURCES.items(), ids=lambda item: item.__name__)
def test_ten_minutes_of_a_service_give_this_scrape(
    kind: type[AiSource], fill: Callable[[CloudWatch], None], cloud: CloudWatch, golden: Callable[[str, str], None]
) -> None:
    """Counting begins with the first look, 3 minutes back; the second, 10 minutes later, counts 10 minutes."""
    fill(cloud)
    watched = Watched(kind, cloud)
    watched.look(240)
    watched.look(300)
    watched.look(300)
    assert watched.failure is None
    golden(f"sources/{fill.__name__}.prom", watched.page())


def test_accounts_where_nothing_is_used_show_nothing_but_the_asking(cloud: CloudWatch) -> None:
    watched = Watched(Textract, cloud)
    watched.look()
    assert watched.failure is None
    assert {sample.metric.name.partition(".")[0] for sample in watched.samples} == {"fleetwatch"}
    assert cloud.count("GetMetricData") == 0


@pytest.mark.parametrize(("meaning", "ok"), [("successful", 120), ("accepted", 110), ("all", 100)])
def test_what_the_number_of_calls_has_in_it_is_a_setting(meaning: str, ok: float, cloud: CloudWatch) -> None:
    bedrock(cloud)
    watched = Watched(Bedrock, cloud, settings=AiServices({"bedrock": meaning}))  # type: ignore[dict-item]  # a literal
    watched.look(240)
    watched.look(600)
    watched.look()
    assert watched.value(ai_services.REQUESTS, resource=MODEL, outcome="ok") == ok
    assert watched.value(ai_services.REQUESTS, resource=MODEL, outcome="client_error") == 10
    assert watched.value(ai_services.REQUESTS, resource=MODEL, outcome="throttled") == 10


def test_where_every_call_fails_and_none_is_counted_as_a_call_they_are_still_failures(cloud: CloudWatch) -> None:
    """As where `Invocations` are the successful ones, though the settings say otherwise."""
    cloud.put("Invocations", each_minute(0, 20), ModelId="m")
    cloud.put("InvocationServerErrors", each_minute(10, 20), ModelId="m")
    watched = Watched(Bedrock, cloud)
    watched.look(240)
    watched.look(600)
    assert watched.value(ai_services.HEALTH, state="failing") == 1
    assert watched.value(ai_services.WINDOW_ERRORS, resource="m") == 1


def test_tokens_are_priced_at_their_model_s_list_price(cloud: CloudWatch) -> None:
    """Nova Lite in us-east-1: 0.06 USD per million in, 0.24 out, 0.015 from the cache (genai-prices 0.2.3)."""
    names = {"region": "us-east-1", "ModelId": "amazon.nova-lite-v1:0"}
    cloud.put("Invocations", each_minute(100, 20), **names)
    cloud.put("InputTokenCount", each_minute(100_000, 20), **names)
    cloud.put("CacheReadInputTokens", each_minute(400_000, 20), **names)
    cloud.put("OutputTokenCount", each_minute(10_000, 20), **names)
    watched = Watched(Bedrock, cloud, regions=["us-east-1"])
    watched.look(240)
    watched.look(600)
    watched.look()
    cost = watched.value(ai_services.COST, resource="amazon.nova-lite-v1:0", confidence="estimated")
    assert cost == pytest.approx(10 * (0.1 * 0.06 + 0.4 * 0.015 + 0.01 * 0.24), abs=1e-9)


def test_a_model_without_a_price_has_no_cost_and_says_so(cloud: CloudWatch) -> None:
    cloud.put("InputTokenCount", each_minute(100, 20), ModelId="a-model-of-ours")
    watched = Watched(Bedrock, cloud)
    watched.look(240)
    watched.look(600)
    watched.look()
    assert watched.value(ai_services.COST) is None
    assert watched.value(ai_services.UNPRICED, resource="a-model-of-ours") == 1000


def test_resources_past_the_bound_are_summed_and_not_priced(cloud: CloudWatch) -> None:
    for number in range(6):
        cloud.put("Invocations", each_minute(1, 20), ModelId=f"m{number}")
        cloud.put("InputTokenCount", each_minute(10, 20), ModelId=f"m{number}")
    watched = Watched(Bedrock, cloud, settings=AiServices(limits={"resource": 4}))
    watched.look(240)
    watched.look(600)
    watched.look()
    shown = {sample.labels[1] for sample in watched.samples if sample.metric is ai_services.REQUESTS}
    assert shown == {"m0", "m1", "m2", "_other"}
    assert watched.value(ai_services.REQUESTS, resource="_other", outcome="ok") == 30
    assert watched.value(ai_services.UNPRICED, resource="_other") == 300
    assert watched.total(ai_services.REQUESTS, outcome="ok") == 60


HOSTILE = 'evil"} 1\nai_service_fake 7 #<!channel>\u202e' + "x" * 900


def test_hostile_values_of_dimensions_stay_values(cloud: CloudWatch) -> None:
    cloud.put("Invocations", each_minute(5, 20), ModelId=HOSTILE)
    watched = Watched(Bedrock, cloud)
    watched.look(240)
    watched.look(600)
    watched.look()
    [resource] = {sample.labels[1] for sample in watched.samples if sample.metric is ai_services.REQUESTS}
    assert len(resource) == 200
    assert resource.isprintable() or "\ufffd" in resource
    assert "\nai_service_fake" not in watched.page()
    assert watched.value(ai_services.REQUESTS, resource=resource, outcome="ok") == 50


def test_without_the_way_to_aws_there_is_nothing_to_report(tmp_path: Path) -> None:
    from fleetwatch.collect import Here, NoData

    for kind in SOURCES:
        with pytest.raises(NoData):
            list(kind(Here(state=tmp_path))())
