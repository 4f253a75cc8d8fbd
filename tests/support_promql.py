"""Reads PromQL as Prometheus does and says which names an expression uses and which labels its result has.

Types of labels only: no values. `check` infers the labels of every node from the labels of the series below it, so that
a label that no series carries is found wherever it stands: in a matcher, in by (), on (), group_left ().
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser as promql
import yaml

from fleetwatch.catalogue import all_metrics
from support_foreign_metrics import FOREIGN

SCRAPED = frozenset({"job", "instance"})
"""Labels that Prometheus adds to whatever it scrapes."""

_NOTHING: frozenset[str] = frozenset()
# Functions whose result has no labels.
_BARE = frozenset({"scalar", "vector", "time", "minute", "hour", "day_of_week", "day_of_month", "month", "year", "pi"})
_GRAFANA_DURATION = re.compile(r"\$\{?__(?:rate_interval|interval|range)(?:_s|_ms)?(?::\w+)?\}?")
_GRAFANA_VARIABLE = re.compile(r"\$\{\w+(?::\w+)?\}|\$\w+")

Series = Mapping[str, frozenset[str]]
"""Name of a series to its labels."""


class Checked(NamedTuple):
    """labels: of the result; problems: one line each, empty when every name exists."""

    labels: frozenset[str]
    problems: list[str]


def parse(expr: str) -> Any:
    """The AST. Grafana's variables are replaced by something of their kind. Raises ValueError for what is no PromQL."""
    return promql.parse(_GRAFANA_VARIABLE.sub("x", _GRAFANA_DURATION.sub("5m", expr)))


def names_in(expr: str) -> set[tuple[str, frozenset[str]]]:
    """(metric, labels named in its matchers) of every selector."""
    found = set()

    def visit(node: Any) -> None:
        vector = getattr(node, "vector_selector", node)
        if isinstance(vector, promql.VectorSelector):
            found.add((vector.name or "", frozenset(matcher.name for matcher in _matchers(vector))))

    promql.walk(parse(expr), visit)
    return found


def check(expr: str, series: Series) -> Checked:
    """Every metric must be in `series` and every label on the series it is asked of."""
    try:
        tree = parse(expr)
    except ValueError as error:
        return Checked(_NOTHING, [f"not PromQL: {error}"])
    problems: list[str] = []
    return Checked(_labels(tree, series, problems), problems)


def known_series(rule_files: Iterable[Path]) -> dict[str, frozenset[str]]:
    """Labels of every series that may be used: the catalogue's, the allow-list's, and what `rule_files` record."""
    series = {name: frozenset(foreign.labels) | SCRAPED for name, foreign in FOREIGN.items()}
    for _, metric in all_metrics():
        labels = frozenset(metric.label_names) | SCRAPED
        if metric.kind == "histogram":
            series[f"{metric.prometheus}_bucket"] = labels | {"le"}
            series[f"{metric.prometheus}_sum"] = series[f"{metric.prometheus}_count"] = labels
        else:
            series[metric.prometheus] = labels
    waiting = [rule for file in rule_files for rule in rules_of(file) if "record" in rule]
    names = {rule["record"] for rule in waiting}
    # A rule may use what another records: take those first whose names are all known.
    while waiting:
        ready = [rule for rule in waiting if not {name for name, _ in names_in(rule["expr"])} & names - set(series)]
        if not ready:
            raise ValueError(f"rules record each other in a circle: {sorted(rule['record'] for rule in waiting)}")
        for rule in ready:
            inferred = check(rule["expr"], series).labels | frozenset(rule.get("labels", {}))
            series[rule["record"]] = series.get(rule["record"], _NOTHING) | inferred
        waiting = [rule for rule in waiting if rule not in ready]
    return series


def rules_of(file: Path) -> list[dict[str, Any]]:
    """All rules of a rule file, in its order."""
    groups = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _matchers(selector: Any) -> list[Any]:
    return [*selector.matchers.matchers, *(item for group in selector.matchers.or_matchers for item in group)]


def _labels(node: Any, series: Series, problems: list[str]) -> frozenset[str]:
    """Labels of the node's result; adds what is wrong in it to `problems`."""
    match node:
        case promql.VectorSelector():
            labels = _selector(node, series, problems)
        case promql.MatrixSelector():
            labels = _selector(node.vector_selector, series, problems)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            labels = _labels(node.expr, series, problems)
        case promql.AggregateExpr():
            labels = _aggregate(node, series, problems)
        case promql.BinaryExpr():
            labels = _binary(node, series, problems)
        case promql.Call():
            labels = _call(node, series, problems)
        case _:
            labels = _NOTHING  # literals
    return labels


def _selector(node: Any, series: Series, problems: list[str]) -> frozenset[str]:
    if node.name not in series:
        problems.append(f"no such metric: {node.name}")
        return _NOTHING
    labels = series[node.name]
    _demand([matcher.name for matcher in _matchers(node)], labels, node.name, problems)
    return labels


def _aggregate(node: Any, series: Series, problems: list[str]) -> frozenset[str]:
    labels = _labels(node.expr, series, problems)
    op = str(node.op)
    if node.modifier is None:
        return labels if op in ("topk", "bottomk", "limitk") else _NOTHING
    named = node.modifier.labels
    _demand(named, labels, f"{op} ({', '.join(sorted(labels))})", problems)
    if op in ("topk", "bottomk", "limitk"):
        return labels
    by = node.modifier.type == promql.AggModifierType.By
    return frozenset(named) & labels if by else labels - set(named)


def _binary(node: Any, series: Series, problems: list[str]) -> frozenset[str]:
    left, right = _labels(node.lhs, series, problems), _labels(node.rhs, series, problems)
    if _is_number(node.lhs) or _is_number(node.rhs):
        return left | right
    op, modifier = str(node.op), node.modifier
    matching = modifier.matching if modifier else None
    if matching is not None:
        side = f"{op} of ({', '.join(sorted(left))}) and ({', '.join(sorted(right))})"
        exclude = matching.type == promql.LabelModifierType.Exclude
        _demand(matching.labels, left | right if exclude else left & right, side, problems)
    elif op != "or" and left != right:
        sides = f"({', '.join(sorted(left))}) and ({', '.join(sorted(right))})"
        problems.append(f"{op} never matches: its sides have the labels {sides}")
    if op == "or":
        return left | right
    if modifier is not None and modifier.card == promql.VectorMatchCardinality.OneToMany:
        left, right = right, left
    group = frozenset(modifier.group_labels or ()) if modifier is not None else _NOTHING
    _demand(group, right, "the one side of group_left or group_right", problems)
    return left | group


def _call(node: Any, series: Series, problems: list[str]) -> frozenset[str]:
    name = node.func.name
    inner = frozenset().union(*(_labels(argument, series, problems) for argument in node.args))
    if name in ("absent", "absent_over_time"):
        selector = getattr(node.args[0], "vector_selector", node.args[0])
        equal = promql.MatchOp.Equal
        return (
            frozenset(m.name for m in _matchers(selector) if m.op == equal)
            if hasattr(selector, "matchers")
            else _NOTHING
        )
    if name in ("label_replace", "label_join"):
        return inner | {node.args[1].val}
    if name == "histogram_quantile":
        _demand(["le"], inner, "histogram_quantile", problems)
        return inner - {"le"}
    return _NOTHING if name in _BARE else inner


def _is_number(node: Any) -> bool:
    """Whether the node is a scalar, which matches without labels."""
    match node:
        case promql.NumberLiteral():
            return True
        case promql.ParenExpr() | promql.UnaryExpr():
            return _is_number(node.expr)
        case promql.Call():
            return node.func.name in ("scalar", "time", "pi")
        case promql.BinaryExpr():
            return _is_number(node.lhs) and _is_number(node.rhs)
    return False


def _demand(wanted: Iterable[str], labels: frozenset[str], where: str, problems: list[str]) -> None:
    missing = [label for label in wanted if label not in labels and label != "__name__"]
    problems.extend(f"no label {label} on {where}" for label in missing)
