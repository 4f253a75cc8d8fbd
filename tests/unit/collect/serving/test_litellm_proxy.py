"""What a LiteLLM gateway 1.106.2 told after two good calls, one of them streamed, and one to a dead provider."""

from __future__ import annotations

import re
from collections.abc import Callable

from fleetwatch.catalogue import serving
from fleetwatch.catalogue.metric import Sample
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
    found = {sample.labels[1:]: sample.value for sample in samples if sample.metric is serving.REQUESTS}
    assert found == {("broken", "error"): 1, ("gpt-5.5", "ok"): 2}
    assert [sample.value for sample in samples if sample.metric is serving.RUNNING] == [0]


def test_deployments_are_counted_by_state() -> None:
    other = 'api_base="http://other/v1",api_provider="openai",litellm_model_name="gpt-5.5",model_id="x"'
    two = f"{recording('litellm-1.106')}litellm_deployment_state{{{other}}} 2.0\n"
    with ModelServer(two) as server:
        samples = list(source(server.url)())
    found = {sample.labels[1:]: sample.value for sample in samples if sample.metric is serving.DEPLOYMENTS}
    assert found["openai", "gpt-5.5", "healthy"] == found["openai", "gpt-5.5", "down"] == 1
    assert found["openai", "broken", "degraded"] == 1


def later() -> list[Sample]:
    with ModelServer(recording("litellm-later")) as server:
        return list(source(server.url)())


def states(samples: list[Sample]) -> dict[tuple[str, ...], float]:
    return {sample.labels[1:]: sample.value for sample in samples if sample.metric is serving.DEPLOYMENTS}


def test_an_outage_is_told_of_the_deployment_that_has_it() -> None:
    """LiteLLM tells it under the group's name, which is no deployment of its own."""
    assert states(later()) == {
        ("openai", "broken", "healthy"): 0,
        ("openai", "broken", "degraded"): 0,
        ("openai", "broken", "down"): 1,
    }


def test_an_outage_is_over_with_the_first_good_call() -> None:
    """LiteLLM goes on to tell it."""
    told = recording("litellm-later")
    over = told.replace(
        'model_id="50bb7852abe3ed037ddb88a987a2412ef7ec4c040bf70d0c6504b86c6dab1d11"} 1.0',
        'model_id="50bb7852abe3ed037ddb88a987a2412ef7ec4c040bf70d0c6504b86c6dab1d11"} 0.0',
    )
    assert over != told
    with ModelServer(over) as server:
        found = states(list(source(server.url)()))
    assert (found["openai", "broken", "healthy"], found["openai", "broken", "down"]) == (1, 0)


def test_what_the_gateway_turned_away_was_no_attempt() -> None:
    found = {sample.labels[1:]: sample.value for sample in later() if sample.metric is serving.DEPLOYMENT_REQUESTS}
    assert found == {("openai", "broken", "timeout"): 4}


def test_calls_at_no_cost_are_counted_by_model_and_reason() -> None:
    found = {sample.labels[1:]: sample.value for sample in later() if sample.metric is serving.ZERO_COST}
    assert found == {("gpt-5.5", "pricing_not_applied"): 6}
