"""What a LiteLLM gateway 1.106.2 told after two good calls, one of them streamed, and one to a dead provider."""

from __future__ import annotations

import re
from collections.abc import Callable

from fleetwatch.catalogue import serving
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
