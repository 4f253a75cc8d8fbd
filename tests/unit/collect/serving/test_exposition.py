from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from fleetwatch.collect.serving._exposition import points
from support_serving import RECORDINGS

NAMES = {"load"}
VALUES = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text(max_size=12), VALUES, max_size=5))
def test_what_the_library_writes_is_read_back(values: dict[str, float]) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("load", 'Help with {braces} and "quotes".', ["where", "other"], registry=registry)
    for label, value in values.items():
        gauge.labels(label, "a,b} 1").set(value)
    found = list(points(generate_latest(registry).decode(), NAMES))
    assert {point.labels["where"]: point.value for point in found} == values
    assert all(point.labels["other"] == "a,b} 1" for point in found)


@pytest.mark.parametrize(
    ("line", "labels", "value"),
    [
        ("load 1", {}, 1),
        ("load 1e3 1795282332000", {}, 1000),
        ("load{} 2", {}, 2),
        ('load { a = "b" , } 3', {"a": "b"}, 3),
        ('load{a="x\\\\n\\n\\"y"} -4.5', {"a": 'x\\n\n"y'}, -4.5),
    ],
)
def test_samples(line: str, labels: dict[str, str], value: float) -> None:
    (found,) = points(f"# HELP load Load.\n# TYPE load gauge\n{line}\nother 7\n", NAMES)
    assert (found.name, dict(found.labels), found.value) == ("load", labels, value)


@pytest.mark.parametrize("line", ["load NaN", "load +Inf", "loading 1", "# load 1", ""])
def test_what_is_no_number_or_not_asked_for_is_left_out(line: str) -> None:
    assert list(points(line, NAMES)) == []


@pytest.mark.parametrize("line", ["load", "load x", 'load{a="b} 1', "load{a} 1", 'load{a="b"x="c"} 1 2 3'])
def test_a_line_that_is_no_sample_raises(line: str) -> None:
    with pytest.raises(ValueError, match=r"line 2|could not convert"):
        list(points(f"\n{line}", NAMES))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = list(points(f"load{text}\n{text}", NAMES))
    except ValueError:
        return
    assert {point.name for point in found} <= NAMES


def test_all_names_of_the_recordings_are_read() -> None:
    for file in RECORDINGS.glob("*.prom"):
        text = file.read_text(encoding="utf-8")
        names = {line.partition("{")[0].split()[0] for line in text.splitlines() if not line.startswith("#")}
        finite = [line for line in text.splitlines() if not line.startswith("#") and not line.endswith(("NaN", "Inf"))]
        assert len(list(points(text, names))) == len(finite)
