"""The same calls are published by several sets of dimensions: they are read once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.collect.ai_services._select import LONGEST, MOST_SERIES, Found, chosen, shown
from fleetwatch.collect.ai_services._table import Namespace, requests, tokens
from fleetwatch.collect.ai_services.agentcore import AGENTCORE
from fleetwatch.collect.ai_services.bedrock import MANTLE, RUNTIME
from fleetwatch.collect.ai_services.bedrock_agents import AGENTS
from fleetwatch.collect.ai_services.bedrock_guardrails import GUARDRAILS
from fleetwatch.collect.ai_services.textract import TEXTRACT


def found(namespace: Namespace, metric: str, place: int = 0, **dimensions: str) -> Found:
    return Found(namespace.names[place], metric, tuple(sorted(dimensions.items())))


def places(namespace: Namespace, listed: list[Found]) -> list[tuple[str, str, str]]:
    """Metric, resource and operation of the listed series that are read."""
    read = [item for item in chosen(namespace, listed) if item.found in listed]
    return [(item.found.metric, item.resource, item.operation) for item in read]


def test_a_model_is_read_by_its_id_and_not_again_by_its_tiers() -> None:
    listed = [
        found(RUNTIME, "Invocations"),
        found(RUNTIME, "Invocations", ModelId="a"),
        found(RUNTIME, "Invocations", ModelId="a", ServiceTier="flex"),
        found(RUNTIME, "Invocations", ModelId="a", ContextWindow="200K"),
        found(RUNTIME, "Invocations", ModelId="b"),
    ]
    assert places(RUNTIME, listed) == [("Invocations", "a", ""), ("Invocations", "b", "")]


def test_where_only_parts_are_published_they_are_summed() -> None:
    """Images come by size and steps alone."""
    listed = [
        found(RUNTIME, "OutputImageCount", ModelId="a", ImageSize=size, BucketedStepSize="50")
        for size in ("512", "1024")
    ]
    assert places(RUNTIME, listed) == [("OutputImageCount", "a", "")] * 2


def test_of_two_sets_of_parts_one_is_read() -> None:
    listed = [
        found(RUNTIME, "Invocations", ModelId="a", ServiceTier="flex"),
        found(RUNTIME, "Invocations", ModelId="a", ContextWindow="200K"),
    ]
    assert len(places(RUNTIME, listed)) == 1


def test_figures_without_any_dimension_are_read_where_there_are_no_others() -> None:
    total = found(TEXTRACT, "ThrottledCount")
    assert places(TEXTRACT, [total]) == [("ThrottledCount", "all", "")]
    by_operation = found(TEXTRACT, "ThrottledCount", Operation="AnalyzeDocument")
    assert places(TEXTRACT, [total, by_operation]) == [("ThrottledCount", "all", "AnalyzeDocument")]


ALIAS = "arn:aws:bedrock:eu-west-1:111122223333:agent-alias/AG1/AL1"


def test_an_agent_is_read_by_its_alias_and_an_inline_agent_by_its_operation() -> None:
    listed = [
        found(AGENTS, "InvocationCount", Operation="InvokeAgent"),
        found(AGENTS, "InvocationCount", Operation="InvokeAgent", ModelId="a"),
        found(AGENTS, "InvocationCount", Operation="InvokeAgent", ModelId="a", AgentAliasArn=ALIAS),
        found(AGENTS, "InvocationCount", Operation="InvokeAgent", ModelId="b", AgentAliasArn=ALIAS),
        found(AGENTS, "InvocationCount", Operation="InvokeInlineAgent"),
        found(AGENTS, "InvocationCount", Operation="InvokeInlineAgent", ModelId="a"),
    ]
    assert places(AGENTS, listed) == [
        ("InvocationCount", "agent-alias/AG1/AL1", "InvokeAgent"),
        ("InvocationCount", "agent-alias/AG1/AL1", "InvokeAgent"),
        ("InvocationCount", "all", "InvokeInlineAgent"),
    ]


def test_a_guardrail_is_read_by_its_version_and_not_again_by_operation_source_or_policy() -> None:
    arn = "arn:aws:bedrock:eu-west-1:111122223333:guardrail/gr1"
    listed = [
        found(GUARDRAILS, "Invocations", Operation="ApplyGuardrail"),
        found(GUARDRAILS, "Invocations", GuardrailContentSource="Input"),
        found(GUARDRAILS, "Invocations", GuardrailPolicyType="TopicPolicy"),
        found(GUARDRAILS, "Invocations", GuardrailArn=arn, GuardrailVersion="DRAFT"),
    ]
    assert places(GUARDRAILS, listed) == [("Invocations", "guardrail/gr1 DRAFT", "")]


def test_a_gateway_is_read_by_its_methods_and_a_runtime_by_its_operation() -> None:
    gateway, runtime = "arn:aws:bedrock-agentcore:eu:1:gateway/g", "arn:aws:bedrock-agentcore:eu:1:runtime/r"
    listed = [
        found(AGENTCORE, "Invocations", Operation="InvokeGateway"),
        found(AGENTCORE, "Invocations", Operation="InvokeGateway", Protocol="MCP", Method="tools/call"),
        found(AGENTCORE, "Invocations", Operation="InvokeGateway", Resource=gateway),
        found(AGENTCORE, "Invocations", Operation="InvokeGateway", Method="tools/call", Resource=gateway),
        found(AGENTCORE, "Invocations", Operation="InvokeGateway", Method="tools/list", Resource=gateway),
        found(AGENTCORE, "Invocations", Service="AgentCore.Runtime", Resource=runtime),
        found(AGENTCORE, "Invocations", Operation="InvokeAgentRuntime", Resource=runtime),
        found(AGENTCORE, "Invocations", Operation="InvokeAgentRuntime", Resource=runtime, Name="r::DEFAULT"),
    ]
    assert places(AGENTCORE, listed) == [
        ("Invocations", "gateway/g", "InvokeGateway tools/call"),
        ("Invocations", "gateway/g", "InvokeGateway tools/list"),
        ("Invocations", "runtime/r", "InvokeAgentRuntime"),
    ]


def test_of_two_spellings_and_of_two_namespaces_one_is_read() -> None:
    both = [found(AGENTS, name, Operation="InvokeAgent") for name in ("OutputTokenCount", "outputTokenCount")]
    assert [item.found.metric for item in chosen(AGENTS, both)] == ["outputTokenCount"]
    assert [item.found.metric for item in chosen(AGENTS, both[:1])] == ["OutputTokenCount"]
    twice = [found(AGENTCORE, "Throttles", place, Resource="r", Operation="o") for place in (0, 1)]
    assert {item.found.namespace for item in chosen(AGENTCORE, twice)} == {"AWS/Bedrock-AgentCore"}
    apart = [found(AGENTCORE, "Throttles", place, Resource=f"r{place}", Operation="o") for place in (0, 1)]
    assert {item.resource for item in chosen(AGENTCORE, apart)} == {"r0", "r1"}


def test_failures_and_throttles_are_read_beside_calls_before_they_are_listed() -> None:
    """And calls beside failures, where all fail."""
    for metric in ("Invocations", "InvocationThrottles"):
        series = chosen(RUNTIME, [found(RUNTIME, metric, ModelId="a")])
        assert [item.found for item in series] == [
            found(RUNTIME, name, ModelId="a")
            for name in ("InvocationClientErrors", "InvocationServerErrors", "InvocationThrottles", "Invocations")
        ]


def test_names_that_are_not_in_the_table_are_left_alone() -> None:
    listed = [
        found(RUNTIME, "InvocationsOfTheFuture", ModelId="a"),
        found(RUNTIME, "Invocations", ModelId="a", Team="x"),
        Found("AWS/Other", "Invocations", (("ModelId", "a"),)),
    ]
    assert chosen(RUNTIME, listed) == []


def test_a_project_s_calls_are_read_as_its_model_s() -> None:
    listed = [
        found(MANTLE, "Inferences"),
        found(MANTLE, "Inferences", Project="p"),
        found(MANTLE, "Inferences", Model="m"),
        found(MANTLE, "Inferences", Project="p", Model="m"),
    ]
    assert places(MANTLE, listed) == [("Inferences", "m", "")]


def test_there_is_a_bound_to_what_is_paid_for() -> None:
    listed = [found(RUNTIME, "Invocations", ModelId=f"m{number}") for number in range(MOST_SERIES + 5)]
    assert len(chosen(RUNTIME, listed)) == MOST_SERIES


def test_labels_of_hostile_names_are_short_and_printable() -> None:
    assert shown(["arn:aws:bedrock:eu-west-1:1:application-inference-profile/a"]) == "application-inference-profile/a"
    assert shown(["arn:x"]) == "arn:x"
    assert shown(["arn:a:b:c:d:"]) == "arn:a:b:c:d:"
    assert shown(['a"\n\x00{}\u202e']) == 'a"\ufffd\ufffd{}\ufffd'
    assert len(shown(["x" * 1000])) == LONGEST


SMALL = Namespace(
    service="bedrock",
    names=("N",),
    resource=("R",),
    operation=("O", "M"),
    besides=("B",),
    columns=(requests("total", "Invocations"), tokens("input", "Tokens")),
)
CALLS = st.fixed_dictionaries(
    {"R": st.sampled_from("xy"), "O": st.sampled_from("op"), "M": st.sampled_from("mn"), "B": st.sampled_from("bc")}
)
LOOKS = st.sets(st.frozensets(st.sampled_from("ROMB")), min_size=1)


@given(CALLS, LOOKS)
def test_no_call_is_ever_read_twice_and_none_is_lost(call: dict[str, str], looks: set[frozenset[str]]) -> None:
    """AWS publishes a call once for each set of dimensions; whatever the sets are, one call stays one call.

    Sets of operations without a common beginning (M without O) are the one exception: no service has them.
    """
    sets = [names for names in looks if "M" not in names or "O" in names]
    listed = [Found("N", "Invocations", tuple(sorted((name, call[name]) for name in names))) for names in sets]
    assert len(chosen(SMALL, listed)) == (1 if sets else 0)
