"""OpenLineage's events become records, whatever is in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.dialects.openlineage import MOST_DATASETS, BadEventError, error_type, read, translate_lineage
from fleetwatch.records.lineage import DataUse, Job, LineageEvent
from support_openlineage import START, Night, as_json

FIXTURES = Path(__file__).parents[2] / "fixtures" / "dialects" / "openlineage"
NIGHT = [json.loads(line) for line in (FIXTURES / "night.jsonl").read_text(encoding="utf-8").splitlines()]
AT = int(START.timestamp()) * 10**9
NOW = AT + 3600 * 10**9
JVM = "\n\tat io.A.b(A.java:1)"


def event(**changes: Any) -> dict[str, Any]:
    """The smallest event that is one, with changes."""
    return {
        "eventTime": "2026-03-01T02:00:00Z",
        "eventType": "START",
        "run": {"runId": "r1"},
        "job": {"namespace": "prod", "name": "job"},
        **changes,
    }


def record(**changes: Any) -> LineageEvent:
    found = read(event(**changes))
    assert found is not None
    return found


def test_the_fixture_is_what_the_client_writes_today() -> None:
    """But for the tags of its own that the client adds."""
    written = [{**item, "run": _without_tags(item["run"])} for item in NIGHT]
    assert written == [as_json(item) for item in Night().events()]


def _without_tags(run: dict[str, Any]) -> dict[str, Any]:
    return {**run, "facets": {name: facet for name, facet in run["facets"].items() if name != "tags"}}


def test_a_task_that_begins() -> None:
    night = Night()
    dag, task = Job(night.run_id("nightly_sales"), "nightly_sales", "prod"), night.run_id("nightly_sales.extract")
    assert read(NIGHT[1]) == LineageEvent(
        me=Job(task, "nightly_sales.extract", "prod"),
        at=AT + 10**9,
        state="executing",
        begins=True,
        parent=dag,
        root=dag,
        attempt=1,
        version="Airflow 3.1.0",
    )


def test_ends_attempts_errors_and_numbers_of_the_night() -> None:
    records = [read(item) for item in NIGHT]
    told = [
        (found.me.name, found.result, found.attempt, found.error_type, [use[1:] for use in found.data])
        for found in records
        if found is not None and (found.state == "ended" or found.data)
    ]
    assert told == [
        ("nightly_sales.extract", "success", 1, "", [(0, 1000, 0, 0)]),
        ("nightly_sales.transform", "failure", 1, "UndefinedTable", []),
        ("sales_app.insert_orders", "", 1, "", [(0, 400, 2, 4000)]),
        ("sales_app.insert_orders", "success", 1, "", [(1000, 0, 0, 0), (0, 990, 4, 9900)]),
        ("sales_app", "success", 1, "", []),
        ("nightly_sales.transform", "success", 2, "", []),
        ("shop.model.orders", "success", 1, "", [(0, 120, 0, 0)]),
        ("dbt-run-shop", "success", 1, "", []),
        ("nightly_sales.build", "success", 1, "", []),
        ("nightly_sales", "success", 1, "", []),
    ]


def test_no_text_of_an_error_is_kept() -> None:
    translation, _ = translate_lineage(NIGHT, NOW)
    assert "orders_secret" not in repr(translation)


@pytest.mark.parametrize(
    ("kind", "state", "result", "begins"),
    [
        ("START", "executing", "", True),
        ("RUNNING", "executing", "", False),
        ("COMPLETE", "ended", "success", False),
        ("FAIL", "ended", "failure", False),
        ("ABORT", "ended", "cancellation", False),
        ("OTHER", "", "", False),
        (None, "", "", False),
        ("complete", "ended", "success", False),
    ],
)
def test_each_type_of_event(kind: str | None, state: str, result: str, begins: bool) -> None:
    found = record(eventType=kind)
    assert (found.state, found.result, found.begins) == (state, result, begins)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-03-01T02:00:00Z", AT),
        ("2026-03-01T02:00:00", AT),
        ("2026-03-01T03:00:00+01:00", AT),
        ("2026-02-28T22:00:00-0400", AT),
        ("2026-03-01T02:00:00.123456789Z", AT + 123_456_789),
        ("2026-03-01 02:00:00.5+00:00", AT + 500_000_000),
        ("2026-03-01T02:00Z", AT),
    ],
)
def test_times_in_all_forms_that_clients_write(text: str, at: int) -> None:
    assert record(eventTime=text).at == at


@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        ({"eventTime": None}, "bad_event", "eventTime: expected a time like"),
        ({"eventTime": 1772330400}, "bad_event", "eventTime"),
        ({"eventTime": "2026-02-30T02:00:00Z"}, "bad_event", "on the calendar"),
        ({"eventTime": "2026-03-01T02:00:60Z"}, "bad_event", "on the calendar"),
        ({"eventTime": "1970-01-21T00:00:00Z"}, "bad_time", "after 2020"),
        ({"eventType": "BEGIN"}, "bad_event", "eventType: expected one of START, RUNNING"),
        ({"eventType": ["START"]}, "bad_event", "eventType"),
        ({"run": "r1"}, "bad_event", "run: expected an object"),
        ({"run": {}}, "bad_event", "run.runId and job.name"),
        ({"run": {"runId": 7}}, "bad_event", "run.runId"),
        ({"job": {"name": "  "}}, "bad_event", "job.name"),
        ({"job": None}, "bad_event", "job: expected an object"),
    ],
)
def test_what_is_no_event_is_refused_by_name(changes: dict[str, Any], reason: str, said: str) -> None:
    with pytest.raises(BadEventError, match=said) as caught:
        read(event(**changes))
    assert caught.value.reason == reason


@pytest.mark.parametrize("bad", [None, 3, "x", [], [[]]])
def test_what_is_no_object_is_refused(bad: object) -> None:
    with pytest.raises(BadEventError, match="expected an object"):
        read(bad)


def test_events_without_a_run_leave_nothing() -> None:
    assert read({"eventTime": "x", "job": {"name": "j"}}) is None
    assert read({"eventTime": "x", "dataset": {"name": "d"}}) is None


def test_a_time_of_the_future_is_when_it_came_and_its_lead_is_told() -> None:
    translation, why = translate_lineage([event()], AT - 5 * 10**9)
    [found] = translation.records
    assert (getattr(found, "at", None), translation.skew, why) == (AT - 5 * 10**9, 5 * 10**9, {})


def test_good_events_beside_bad_ones_are_kept_and_the_bad_ones_named() -> None:
    translation, why = translate_lineage([event(), event(run=None), event(eventTime="1970-01-01T00:00:00Z")], NOW)
    assert len(translation.records) == 1
    assert translation.rejected == {"bad_event": 1, "bad_time": 1}
    assert why == {1: "run: expected an object", 2: "eventTime: expected a time after 2020"}


def test_a_parent_without_a_name_is_known_by_its_run_and_one_s_own_parent_is_none() -> None:
    facet = {"run": {"runId": "p"}, "job": {"name": None}}
    assert record(run={"runId": "r1", "facets": {"parent": facet}}).parent == Job("p", "unknown")
    facet = {"run": {"runId": "r1"}, "job": {"name": "job"}, "root": {"run": {"runId": "r1"}}}
    found = record(run={"runId": "r1", "facets": {"parent": facet}})
    assert (found.parent, found.root) == (None, None)


def test_a_dag_that_another_one_triggered_is_a_pipeline_all_the_same() -> None:
    parent = {"run": {"runId": "p"}, "job": {"name": "upstream.trigger"}}
    kind = {"processingType": "BATCH", "integration": "AIRFLOW", "jobType": "DAG"}
    run = {"runId": "r1", "facets": {"parent": parent}}
    assert record(run=run, job={"name": "dag", "facets": {"jobType": kind}}).parent is None
    kind["jobType"] = "TASK"
    assert record(run=run, job={"name": "dag.task", "facets": {"jobType": kind}}).parent == Job("p", "upstream.trigger")


@pytest.mark.parametrize(
    ("facet", "name"),
    [
        ({"programmingLanguage": "JAVA", "stackTrace": "java.lang.IllegalStateException: no"}, "IllegalStateException"),
        ({"stackTrace": f'Exception in thread "main" java.lang.RuntimeException: A{JVM}'}, "RuntimeException"),
        ({"message": "x", "stackTrace": "a.b.Outer$InnerException\n\tat io.A.b(A.java:1)"}, "InnerException"),
        ({"message": "org.apache.spark.sql.AnalysisException: Table not found: t"}, "AnalysisException"),
        ({"message": "KeyError: 'x'", "programmingLanguage": "python"}, "KeyError"),
        ({"message": "Database Error in model orders"}, ""),
        ({"message": "the secret of alice@example.com"}, ""),
        ({"message": "x" * 100_000, "stackTrace": "y" * 100_000}, ""),
        ({"message": None, "stackTrace": 7}, ""),
        ("text", ""),
        (None, ""),
    ],
)  # fmt: skip
def test_of_an_error_its_class_alone(facet: object, name: str) -> None:
    assert error_type(facet) == name


def test_of_a_python_traceback_the_error_that_left_in_the_end() -> None:
    """Not its cause, and not a line of its message."""
    trace = (
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    a()\nKeyError: 'a'\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "b.py", line 2, in <module>\n    b()\n    ^^^\n'
        "sqlalchemy.exc.IntegrityError: duplicate key\nDETAIL: Key (id)=(1) exists\nHINT: none\n"
    )
    assert error_type({"stackTrace": trace, "programmingLanguage": "Python"}) == "IntegrityError"


def test_a_dataset_that_is_told_twice_counts_once_and_too_many_are_added_up() -> None:
    def output(name: str, rows: object) -> dict[str, Any]:
        return {"namespace": "s3", "name": name, "outputFacets": {"outputStatistics": {"rowCount": rows}}}

    found = record(outputs=[output("a", 5), output("a", 5), output("b", 7)])
    assert sorted(use.items_out for use in found.data) == [5, 7]
    found = record(outputs=[output(str(number), 1) for number in range(MOST_DATASETS + 50)])
    assert (len(found.data), sum(use.items_out for use in found.data)) == (MOST_DATASETS + 1, MOST_DATASETS + 50)


@pytest.mark.parametrize(
    "number", [-1, True, "12", None, 10**400, float("inf"), float("nan"), 10**15 + 1, [1], {"a": 1}, 10**19]
)
def test_numbers_that_cannot_be_are_left_out(number: object) -> None:
    outputs = [{"name": "a", "outputFacets": {"outputStatistics": {"rowCount": number, "size": 3}}}]
    assert [use[1:] for use in record(outputs=outputs).data] == [(0, 0, 0, 3)]
    facets = {"airflow": {"taskInstance": {"try_number": number}}}
    assert record(run={"runId": "r", "facets": facets}).attempt == 1


def test_inputs_and_outputs_of_one_name_are_two() -> None:
    inputs = [{"name": "a", "inputFacets": {"inputStatistics": {"rowCount": 3, "size": 100}}}]
    outputs = [{"name": "a", "outputFacets": {"outputStatistics": {"rowCount": 2}}}]
    found = record(inputs=inputs, outputs=outputs)
    assert [use[1:] for use in found.data] == [(3, 0, 0, 0), (0, 2, 0, 0)]
    assert all(isinstance(use, DataUse) and len(use.dataset) == 16 for use in found.data)


def test_the_version_of_the_source_before_that_of_the_engine() -> None:
    engine = {"processing_engine": {"name": "spark", "version": "3.5.1"}}
    assert record(run={"runId": "r", "facets": engine}).version == "spark 3.5.1"
    job = {"name": "j", "facets": {"sourceCodeLocation": {"type": "git", "version": "a1b2c3"}}}
    assert record(run={"runId": "r", "facets": engine}, job=job).version == "a1b2c3"


def test_names_are_cut_and_made_harmless() -> None:
    found = record(job={"name": "x" * 1000 + "\n"}, run={"runId": "r\x00\u202e" + "1" * 1000})
    assert (len(found.me.name), len(found.me.run)) == (200, 200)
    assert found.me.run.startswith("r\ufffd\ufffd1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
INSIDE = ("run", "job", "root", "runId", "name", "taskInstance", "try_number", "message", "stackTrace")
FIELDS = ("eventTime", "eventType", "run", "job", "inputs", "outputs", "producer")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)), st.sampled_from(FIELDS), JSON)
def test_any_json_is_read_or_refused(odd: dict[str, Any], field: str, value: object) -> None:
    for sent in (odd, {**NIGHT[9], field: value}, {**NIGHT[9], **odd}):
        translation, why = translate_lineage([sent], NOW)
        assert len(translation.records) + len(why) <= 1


@given(
    st.sampled_from(["parent", "airflow", "errorMessage", "processing_engine"]),
    st.recursive(
        JSON,
        lambda inner: st.dictionaries(
            st.sampled_from(INSIDE),
            inner,
            max_size=4,
        ),
        max_leaves=8,
    ),
)  # fmt: skip
def test_a_facet_of_any_form_spoils_no_event(name: str, facet: object) -> None:
    sent = event(run={"runId": "r1", "facets": {name: facet}}, eventType="FAIL")
    found = read(sent)
    assert found is not None
    assert found.me == Job("r1", "job", "prod")


def test_the_clock_of_the_fixture() -> None:
    assert datetime.fromtimestamp(AT / 1e9, UTC) == START
