"""What a LiteLLM gateway 1.106.2 told after two good calls, one of them streamed, and one to a dead provider."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from fleetwatch.catalogue import serving
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.here import Here, ScrapeTargets
from fleetwatch.collect.serving.litellm_proxy import LitellmProxy
from support_machines import page
from support_serving import ModelServer, recording


def source(url: str) -> LitellmProxy:
    return LitellmProxy(Here(scrape={"litellm": ScrapeTargets((url,))}))


def test_a_gateway_is_shown_under_our_names(golden: Callable[[str, str], None]) -> None:
    """As if all had happened twice more since the first look."""
    thrice = re.sub(
        r"^(\w+_(?:total|bucket){.*} )(.*)$",
        lambda found: f"{found[1]}{3 * float(found[2])}",
        recording("litellm-1.106"),
        flags=re.MULTILINE,
    )
    with ModelServer(recording("litellm-1.106")) as server:
        litellm = source(server.url)
        list(litellm())
        server.text = thrice
        text = page(litellm()).replace(server.name, "10.0.0.8:4000")
        assert {path for path, _ in server.asked} == {"/metrics/"}
    golden("sources/litellm_proxy.prom", text)


def test_no_key_user_or_address_is_shown() -> None:
    private = recording("litellm-1.106").replace('end_user="None"', 'end_user="jane@example.com"')
    with ModelServer(private) as server:
        text = page(source(server.url)())
    assert "jane@example.com" in private
    assert not any(word in text for word in ("jane", "master_key", "Python-urllib", "default_user", "/v1"))


def test_requests_for_its_own_pages_are_none() -> None:
    """It counts the questions for its metrics, and has one of them under way while it tells them."""
    assert 'route="/metrics"' in recording("litellm-1.106")
    with ModelServer(recording("litellm-1.106")) as server:
        samples = list(source(server.url)())
    assert found(samples, serving.REQUESTS) == {("broken", "error"): 1, ("gpt-5.5", "ok"): 2}
    assert [sample.value for sample in samples if sample.metric is serving.RUNNING] == [0]


def test_deployments_are_counted_by_state() -> None:
    other = 'api_base="http://other/v1",api_provider="openai",litellm_model_name="gpt-5.5",model_id="x"'
    two = f"{recording('litellm-1.106')}litellm_deployment_state{{{other}}} 2.0\n"
    with ModelServer(two) as server:
        samples = list(source(server.url)())
    states = found(samples, serving.DEPLOYMENTS)
    assert states["openai", "gpt-5.5", "healthy"] == states["openai", "gpt-5.5", "down"] == 1
    assert states["openai", "broken", "degraded"] == 1


def told(name: str) -> list[Sample]:
    with ModelServer(recording(name)) as server:
        return list(source(server.url)())


def found(samples: list[Sample], metric: Metric) -> dict[tuple[str, ...], float]:
    """Values by the labels behind the server's name, without zeros."""
    return {sample.labels[1:]: sample.value for sample in samples if sample.metric is metric and sample.value}


def test_an_outage_is_told_of_the_deployment_that_has_it() -> None:
    """LiteLLM tells it under the group's name, which is no deployment of its own."""
    assert 'litellm_model_name="team-chat"' in recording("litellm-1.106-outage")
    assert found(told("litellm-1.106-outage"), serving.DEPLOYMENTS) == {
        ("openai", "gpt-4o", "down"): 1,
        ("openai", "gpt-5.5", "healthy"): 1,
        ("openai", "own-7b", "healthy"): 1,
    }


def test_an_outage_is_over_with_the_first_good_call() -> None:
    """LiteLLM goes on to tell it."""
    assert re.search(r"^litellm_deployment_state{.*} 2.0$", recording("litellm-1.106-recovered"), re.MULTILINE)
    states = found(told("litellm-1.106-recovered"), serving.DEPLOYMENTS)
    assert states["openai", "gpt-4o", "healthy"] == 1
    assert not any(state == "down" for *_, state in states)


def test_what_the_gateway_turned_away_was_no_call_to_a_deployment() -> None:
    assert 'exception_class="ProxyModelNotFoundError"' in recording("litellm-1.106-outage")
    assert found(told("litellm-1.106-outage"), serving.DEPLOYMENT_REQUESTS) == {
        ("openai", "gpt-4o", "error"): 2,
        ("openai", "gpt-5.5", "ok"): 7,
        ("openai", "own-7b", "ok"): 2,
    }


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("200", "ok"),
        ("400", "invalid"),
        ("401", "invalid"),
        ("408", "timeout"),
        ("429", "rejected"),
        ("499", "cancelled"),
        ("500", "error"),
        ("504", "timeout"),
        ("None", "error"),
    ],
)
def test_a_request_ends_as_its_status_says(status: str, outcome: str) -> None:
    text = f'litellm_proxy_total_requests_metric_total{{requested_model="m",status_code="{status}"}} 1.0\n'
    with ModelServer(text) as server:
        assert found(list(source(server.url)()), serving.REQUESTS) == {("m", outcome): 1}


def test_calls_at_no_cost_are_counted_by_model_and_reason() -> None:
    assert found(told("litellm-1.106-outage"), serving.ZERO_COST) == {("own-7b", "missing_pricing_key"): 2}
