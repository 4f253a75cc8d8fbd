"""One vocabulary in three rooms that may not import each other: applications, receiver, catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import opentelemetry.semconv._incubating.attributes.cicd_attributes as cicd
import opentelemetry.semconv._incubating.attributes.gen_ai_attributes as gen_ai
from opentelemetry.semconv._incubating.attributes.host_attributes import HOST_NAME
from opentelemetry.semconv._incubating.attributes.process_attributes import PROCESS_PID
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

from fleetwatch.catalogue import agents as catalogue
from fleetwatch.dialects import agent_report as receiver
from fleetwatch.instrument import names, outcome
from fleetwatch.places import PROJECT
from fleetwatch.records import agents as records
from fleetwatch.records import pipelines


def test_gauges_have_the_catalogue_s_names() -> None:
    assert {
        names.INFO: catalogue.INFO.name,
        names.STATE: catalogue.STATE.name,
        names.HEARTBEAT: catalogue.LAST_HEARTBEAT.name,
        names.PROGRESS: catalogue.LAST_PROGRESS.name,
        names.INTERVAL: catalogue.HEARTBEAT_INTERVAL.name,
        names.OPEN_TASKS: catalogue.OPEN_TASKS.name,
        names.QUEUE_DEPTH: catalogue.QUEUE_DEPTH.name,
        names.QUEUE_AGE: catalogue.QUEUE_AGE.name,
        names.GOODBYE: receiver.GOODBYE,
    } == {name: name for name in receiver._READERS}


def test_states_are_the_records_and_the_catalogue_s() -> None:
    assert names.STATES == records.STATES == catalogue.STATE_VALUE.one_of


def test_results_and_reasons_are_the_records_and_opentelemetry_s() -> None:
    assert outcome.RESULTS == set(pipelines.RESULTS) == {result.value for result in cicd.CicdPipelineResultValues}
    assert {result.value for result in cicd.CicdPipelineTaskRunResultValues} == outcome.RESULTS
    assert {"completed", "phase", "exception", "reported", "exit", "killed"} <= set(pipelines.REASONS)


def test_the_receiver_reads_the_attributes_that_are_sent() -> None:
    sent = {
        names.AGENT,
        names.VERSION,
        names.REQUEST_MODEL,
        names.HOST,
        names.PROCESS,
        names.TEAM,
        names.FRAMEWORK,
        names.STATE_VALUE,
    }
    assert sent == receiver.ATTRIBUTES - {"team.id", "team.name"}


def test_opentelemetry_s_names_are_opentelemetry_s() -> None:
    assert {
        name: name
        for key, name in vars(names).items()
        if key.isupper()
        and isinstance(name, str)
        and not name.startswith(("agent.", "fleetwatch.", "pipeline."))
        and key not in {"TEAM", "VERSION", "EVALUATION_EVENT", "OTHER", "TRACEPARENT", "TRACESTATE", "JOIN"}
    } == {
        names.OPERATION: gen_ai.GEN_AI_OPERATION_NAME,
        names.AGENT: gen_ai.GEN_AI_AGENT_NAME,
        names.REQUEST_MODEL: gen_ai.GEN_AI_REQUEST_MODEL,
        names.RESPONSE_MODEL: gen_ai.GEN_AI_RESPONSE_MODEL,
        names.PROVIDER: gen_ai.GEN_AI_PROVIDER_NAME,
        names.TOOL: gen_ai.GEN_AI_TOOL_NAME,
        names.TOOL_TYPE: gen_ai.GEN_AI_TOOL_TYPE,
        names.CALL_ID: gen_ai.GEN_AI_TOOL_CALL_ID,
        names.EVALUATION: gen_ai.GEN_AI_EVALUATION_NAME,
        names.SCORE: gen_ai.GEN_AI_EVALUATION_SCORE_VALUE,
        names.VERDICT: gen_ai.GEN_AI_EVALUATION_SCORE_LABEL,
        names.ERROR_TYPE: ERROR_TYPE,
        names.HOST: HOST_NAME,
        names.PROCESS: PROCESS_PID,
        names.PIPELINE: cicd.CICD_PIPELINE_NAME,
        names.ACTION: cicd.CICD_PIPELINE_ACTION_NAME,
        names.RUN_ID: cicd.CICD_PIPELINE_RUN_ID,
        names.RUN_STATE: cicd.CICD_PIPELINE_RUN_STATE,
        names.RUN_RESULT: cicd.CICD_PIPELINE_RESULT,
        names.PHASE: cicd.CICD_PIPELINE_TASK_NAME,
        names.PHASE_RUN_ID: cicd.CICD_PIPELINE_TASK_RUN_ID,
        names.PHASE_RESULT: cicd.CICD_PIPELINE_TASK_RUN_RESULT,
    }


def test_names_stand_in_one_file_of_the_package() -> None:
    package = PROJECT / "exporters" / "fleetwatch" / "instrument"
    written = re.compile(r'"(agent|gen_ai|fleetwatch|pipeline|cicd)\.[a-z_.]+"')
    found = {
        path.name: match[0]
        for path in Path(package).glob("*.py")
        if path.name != "names.py"
        for match in written.finditer(path.read_text())
        if match[0] not in {f'"fleetwatch.{key}"' for key in ("task", "run", "phase", "instrument")}
    }
    assert found == {}
