"""The catalogue is the only place where a metric's name is written."""

from __future__ import annotations

import re

import pytest

from fleetwatch.catalogue import all_metrics
from fleetwatch.catalogue.metric import Metric, counter, gauge, histogram, label
from fleetwatch.places import PROJECT

PACKAGE = PROJECT / "exporters" / "fleetwatch"
METRICS = [metric for _, metric in all_metrics()]

# The names that users and scripts rely on; renaming one breaks their boards.
FIXED = {
    "llm_requests_total": ("agent", "team", "provider", "model", "operation", "outcome"),
    "llm_tokens_total": ("agent", "team", "provider", "model", "kind"),
    "llm_cost_usd_total": ("agent", "team", "provider", "model", "confidence"),
    "llm_request_duration_seconds": None,
    "llm_time_to_first_token_seconds": None,
    "llm_duplicate_calls_total": ("reason",),
    "llm_unpriced_requests_total": ("provider", "model"),
    "llm_budget_usd": ("budget",),
    "llm_budget_spent_usd": ("budget",),
    "llm_budget_forecast_usd": ("budget",),
    "fleetwatch_collector_success": ("host_name", "collector"),
    "fleetwatch_collector_duration_seconds": ("host_name", "collector"),
    "fleetwatch_collector_last_success_timestamp_seconds": ("host_name", "collector"),
    "fleetwatch_collector_series": ("host_name", "collector"),
    "fleetwatch_receiver_requests_total": None,
    "fleetwatch_receiver_rejected_total": None,
    "fleetwatch_ledger_records_total": None,
    "fleetwatch_ledger_commit_seconds": None,
    "fleetwatch_ledger_errors_total": None,
    "fleetwatch_label_overflow_total": ("metric", "label"),
    "fleetwatch_build_info": None,
    "host_info": None,
    "system_cpu_time_seconds_total": ("host_name", "cpu_mode"),
    "system_memory_usage_bytes": ("host_name", "system_memory_state"),
}


def problems(metric: Metric) -> list[str]:
    """What is wrong with a record."""
    found = []
    if not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", metric.name):
        found.append("name: expected words and dots as in llm.requests")
    if not metric.help.endswith(".") or "\n" in metric.help:
        found.append("help: expected one line that ends with a full stop")
    if metric.kind == "counter" and not metric.unit:
        found.append("unit: a counter counts something, for example {request}")
    if len(set(metric.label_names)) != len(metric.labels):
        found.append("labels: a name stands twice")
    found += [
        f"label {name}: expected snake_case"
        for name in metric.label_names
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name)
    ]
    found += [
        f"label {name}: identities are no labels"
        for name in metric.label_names
        if name in FORBIDDEN and (metric.name, name) != RING
    ]
    return found


RING = ("pipeline.slot.info", "run_id")
"""A gauge that has as many of them as there are slots; a run that has its slot no more has no series."""

FORBIDDEN = {
    "run_id",
    "session_id",
    "conversation_id",
    "response_id",
    "trace_id",
    "span_id",
    "prompt",
    "user",
    "user_id",
    "email",
}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_a_complete_record(metric: Metric) -> None:
    assert problems(metric) == []


@pytest.mark.parametrize(
    "bad",
    [
        counter("llm.Calls", unit="{call}", help="Calls."),
        counter("llm.calls", unit="", help="Calls."),
        gauge("llm.level", unit="1", help="no full stop"),
        gauge("llm.level", unit="1", help="Level.", labels=(label("session_id", "s", at_most=3),)),
        gauge("llm.level", unit="1", help="Level.", labels=(label("a", "s", at_most=3), label("a", "t", at_most=3))),
    ],
    ids=lambda metric: metric.name,
)
def test_the_wall_stands(bad: Metric) -> None:
    """An incomplete record is found."""
    assert problems(bad) != []


def test_no_two_metrics_share_a_name() -> None:
    names = [metric.prometheus for metric in METRICS]
    assert sorted(set(names)) == sorted(names)


def test_labels_of_one_name_are_one_record() -> None:
    """Boards join on labels: `model` must mean the same everywhere in a domain."""
    records: dict[tuple[str, str], set[object]] = {}
    for domain, metric in all_metrics():
        for item in metric.labels:
            records.setdefault((domain, item.name), set()).add(item)
    shared = {name for name, found in records.items() if len(found) > 1}
    reasons = {(domain, "reason") for domain in ("llm", "exporter", "hosts", "pipelines", "kubernetes", "spot")}
    assert shared <= {*reasons, ("pipelines", "direction")}


def test_names_that_users_rely_on_stay() -> None:
    have = {metric.prometheus: metric.label_names for metric in METRICS}
    for name, labels in FIXED.items():
        assert name in have
        assert labels is None or have[name] == labels


def test_every_metric_of_the_catalogue_has_an_emitter() -> None:
    """Its constant is used somewhere outside the catalogue."""
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if "catalogue" not in path.parts
    )
    unused = []
    for domain, metric in all_metrics():
        module = __import__(f"fleetwatch.catalogue.{domain}", fromlist=["x"])
        [constant] = [name for name, value in vars(module).items() if value is metric]
        if not re.search(rf"\b{domain}\.{constant}\b", code):
            unused.append(f"{domain}.{constant}")
    assert unused == []


def test_no_code_spells_a_metric_s_name() -> None:
    """Names stand in the catalogue; everything else uses its records."""
    names = {metric.prometheus for metric in METRICS if metric.prometheus.count("_") > 1}
    spelled = []
    for path in PACKAGE.rglob("*.py"):
        if "catalogue" in path.parts:
            continue
        # Docstrings of sources show what they emit.
        code = re.sub(r'"""(?s:.)*?"""', "", path.read_text(encoding="utf-8"))
        spelled += [f"{path.name}: {name}" for name in names if re.search(rf"\b{name}\b", code)]
    assert spelled == []


def test_a_sample_needs_exactly_its_labels() -> None:
    metric = gauge("test.level", unit="1", help="Level.", labels=(label("a", "a", at_most=2),))
    with pytest.raises(TypeError, match=r"test\.level: expected labels a; got a, b"):
        metric(1, a="x", b="y")
    with pytest.raises(TypeError, match="got none"):
        metric(1)


def test_units_give_the_words_of_prometheus() -> None:
    assert histogram("a.b", unit="s", help="B.", buckets=(1,)).prometheus == "a_b_seconds"
    assert gauge("a.b", unit="1", help="B.").prometheus == "a_b_ratio"
    assert gauge("a.b_seconds.x", unit="s", help="B.").prometheus == "a_b_seconds_x"
    assert counter("a.total.b", unit="By", help="B.").prometheus == "a_b_bytes_total"
    with pytest.raises(ValueError, match="unit 'parsec' has no Prometheus word"):
        _ = gauge("a.b", unit="parsec", help="B.").prometheus
