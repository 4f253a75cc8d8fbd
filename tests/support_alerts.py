"""What makes an alert complete, as a list of complaints: empty when nothing is missing.

`complaints(alert, house)` takes one rule as it stands in the YAML file; House knows what lies around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import yaml

import support_promql
from fleetwatch.places import PROJECT

Alert = dict[str, Any]

RULES = sorted((PROJECT / "prometheus" / "rules").glob("*.yml"))
ALERTS = sorted((PROJECT / "prometheus" / "alerts").glob("*.yml"))
TESTS = sorted((PROJECT / "tests" / "alerts").glob("*.test.yml"))
DOMAINS = frozenset(file.stem for file in RULES)
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
SEVERITY_OF_LIMIT = "{{ $labels.severity }}"
"""Severity of an alert whose limits carry it, so that settings may give another for some pipelines and phases."""
SEVERITIES = ("page", "ticket", "info")
ALWAYS_FIRING = frozenset({"Watchdog"})
"""Alerts whose condition has no beginning and no end: nothing to hold, to keep or to keep quiet about."""

_LABEL_IN_TEMPLATE = re.compile(r"(?:\$labels|\.Labels)\.(\w+)")
_QUERY_IN_TEMPLATE = re.compile(r'\bquery\s+(?:\(printf\s+)?"((?:[^"\\]|\\.)*)"')
_TEMPLATE = re.compile(r"\{\{.*?\}\}")
# A number is worth nothing without what it counts.
_UNIT = re.compile(
    r"USD|%|°C|humanizeDuration|times its even pace"
    r"|\b(?:calls|targets|commits|records|updates|scrapes|items|evaluations|notifications|alerts|hosts|series|processes|errors|tasks|requests|servers|runs|phases|reports|predictions|machines|nodes|pools|messages)\b"
)


class House(NamedTuple):
    """runbooks: the folder; series: known names; boards: stem to its variables; tests: the parsed promtool files;
    usual: the severity that stands beside the threshold of an alert, by its name.
    """

    runbooks: Path
    series: support_promql.Series
    boards: Mapping[str, frozenset[str]]
    tests: list[dict[str, Any]]
    usual: Mapping[str, str]


def the_house() -> House:
    """What the repository holds."""
    boards = {file.stem: _variables(file) for file in (PROJECT / "grafana" / "generated").glob("*.json")}
    parsed = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in TESTS]
    series = support_promql.known_series(RULES)
    return House(PROJECT / "prometheus" / "runbooks", series, boards, parsed, usual_severities())


def usual_severities() -> dict[str, str]:
    """Alert to the severity that its threshold in the first group of a rule file carries."""
    recorded = [rule for file in RULES for rule in support_promql.rules_of(file) if "record" in rule]
    labels = [rule["labels"] for rule in recorded if ":threshold:" in rule["record"] and "labels" in rule]
    return {label["alert"]: label["severity"] for label in labels}


def _variables(board: Path) -> frozenset[str]:
    listed = json.loads(board.read_text(encoding="utf-8"))["templating"]["list"]
    return frozenset(variable["name"] for variable in listed)


def the_alerts() -> list[Alert]:
    """All alerts of the repository."""
    return [rule for file in ALERTS for rule in support_promql.rules_of(file) if "alert" in rule]


def complaints(alert: Alert, house: House) -> list[str]:
    """What the alert lacks, a line each."""
    checks = (_name, _labels, _times, _texts, _names, _runbook, _dashboard, _proofs)
    return [f"{alert['alert']}: {text}" for check in checks for text in check(alert, house)]


def queries_of(alert: Alert) -> list[str]:
    """The queries inside the alert's templates, with a value in place of each printf verb."""
    texts = alert.get("annotations", {}).values()
    found = [query for text in texts for query in _QUERY_IN_TEMPLATE.findall(text)]
    return [query.replace("%q", '"x"').replace('\\"', '"') for query in found]


def _name(alert: Alert, house: House) -> Iterator[str]:
    if not re.fullmatch(r"(?:[A-Z][a-z]+)+", alert["alert"]):
        yield "the name is not CamelCase"


def _labels(alert: Alert, house: House) -> Iterator[str]:
    labels = alert.get("labels", {})
    severity = labels.get("severity")
    if severity == SEVERITY_OF_LIMIT:
        if house.usual.get(alert["alert"]) not in SEVERITIES:
            yield "its severity is its limit's, but no threshold names it with a usual one: page, ticket or info"
    elif severity not in SEVERITIES:
        yield f"severity is {severity!r}; expected page, ticket or info"
    if labels.get("domain") not in DOMAINS:
        yield f"domain is {labels.get('domain')!r}; expected a domain of the catalogue"
    if not labels.get("owner"):
        yield "no owner"
    if any("$value" in str(value) for value in labels.values()):
        yield "$value in a label: each new value is a new alert, and `for` never passes"


def _times(alert: Alert, house: House) -> Iterator[str]:
    if alert["alert"] in ALWAYS_FIRING:
        return
    for key in ("for", "keep_firing_for"):
        if not re.fullmatch(r"[1-9]\d*[smhd]", str(alert.get(key, ""))):
            yield f"{key} is {alert.get(key)!r}; expected a duration"


def _texts(alert: Alert, house: House) -> Iterator[str]:
    texts = alert.get("annotations", {})
    for key in ("summary", "description", "runbook_url", "dashboard_url"):
        if not str(texts.get(key, "")).strip():
            yield f"no {key}"
    description = str(texts.get("description", ""))
    if "$value" not in description and not re.search(r"\d", _TEMPLATE.sub("", description)):
        yield "the description has no number"
    elif not _UNIT.search(_TEMPLATE.sub(_unit_of_template, description)):
        yield "the description's number has no unit"
    if "$value" in str(texts.get("summary", "")):
        yield "$value in the summary, which stands for the whole alert: it belongs into the description"


def _unit_of_template(template: re.Match[str]) -> str:
    """The unit that a template prints itself; the % of its printf is none."""
    units = {"humanizePercentage": "%", "humanizeDuration": "humanizeDuration"}
    return next((unit for function, unit in units.items() if function in template[0]), "")


def _names(alert: Alert, house: House) -> Iterator[str]:
    checked = support_promql.check(alert["expr"], house.series)
    yield from checked.problems
    for query in queries_of(alert):
        yield from (
            f"in a query of its texts: {problem}" for problem in support_promql.check(query, house.series).problems
        )
    texts = [*alert.get("annotations", {}).values(), *alert.get("labels", {}).values()]
    for label in sorted({label for text in texts for label in _LABEL_IN_TEMPLATE.findall(str(text))}):
        if label not in checked.labels:
            yield f"its texts use $labels.{label}, which the expression does not have"


def _runbook(alert: Alert, house: House) -> Iterator[str]:
    name = alert["alert"]
    url = urlsplit(str(alert.get("annotations", {}).get("runbook_url", "")))
    if url.path != f"/runbooks/{name}" or not url.netloc:
        yield f"runbook_url ends in {url.path!r}; expected /runbooks/{name}"
    file = house.runbooks / f"{name}.md"
    if not file.is_file():
        yield f"no runbook {file.name}"
        return
    lines = file.read_text(encoding="utf-8").splitlines()
    if lines[:1] != [f"# {name}"]:
        yield f"its runbook does not begin with `# {name}`"
    if [line.removeprefix("## ") for line in lines if line.startswith("## ")] != HEADINGS:
        yield f"its runbook has not the headings {', '.join(HEADINGS)}"


def _dashboard(alert: Alert, house: House) -> Iterator[str]:
    url = urlsplit(str(alert.get("annotations", {}).get("dashboard_url", "")))
    found = re.fullmatch(r"/d/fw-([a-z]+(?:-[a-z]+)*)", url.path)
    if not found or not url.netloc:
        yield f"dashboard_url leads to {url.path!r}; expected /d/fw-<stem>"
    elif found[1] not in house.boards:
        yield f"dashboard_url leads to the board {found[1]!r}, which does not exist"
    query = parse_qs(url.query)
    if "from" not in query or "to" not in query:
        yield "dashboard_url has no time range"
    variables = [key.removeprefix("var-") for key in query if key.startswith("var-")]
    if not variables:
        yield "dashboard_url sets no variable"
    for name in variables:
        if found and name not in house.boards.get(found[1], [name]):
            yield f"dashboard_url sets {name}, which its board does not have"
    for value in re.findall(r"\{\{(.*?)\}\}", url.query):
        if "urlquery" not in value:
            yield f"dashboard_url takes {value.strip()} without urlquery"


def _proofs(alert: Alert, house: House) -> Iterator[str]:
    """A test must see it fire, hold before, end after; and one test of its own must see it keep quiet or vanish."""
    fires = holds = ends = quiet = False
    for test in (test for file in house.tests for test in file["tests"]):
        looks = sorted(
            (_seconds(look["eval_time"]), any(_is_of(alert, fired) for fired in look.get("exp_alerts") or []))
            for look in test.get("alert_rule_test", [])
            if look["alertname"] == alert["alert"]
        )
        seen = [fired for _, fired in looks]
        if not looks:
            continue
        if any(seen):
            first, last = seen.index(True), len(seen) - seen[::-1].index(True)
            fires, holds, ends = True, holds or first > 0, ends or last < len(seen)
        # Series beside those that fire count too: promtool compares the whole list of alerts.
        quiet = quiet or not any(seen) or len({text["series"] for text in test["input_series"]}) > 1
    if not fires:
        yield "no test sees it fire"
    if alert["alert"] not in ALWAYS_FIRING:
        yield from (text for done, text in ((holds, "no test sees it hold"), (ends, "no test sees it end")) if not done)
        if not quiet:
            yield "no test sees it keep quiet"


def _is_of(alert: Alert, fired: dict[str, Any]) -> bool:
    """Whether an expected alert is this rule's and not that of another rule with the same name."""
    fixed = {key: value for key, value in alert.get("labels", {}).items() if "{{" not in str(value)}
    return all(fired["exp_labels"].get(key) == value for key, value in fixed.items())


def _seconds(text: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))
