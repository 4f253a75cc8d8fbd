"""A night of an Airflow DAG as OpenLineage's own client tells it: tasks, one tried again, Spark and dbt below them.

python tests/support_openlineage.py FOLDER     writes the fixtures

nightly_sales                               the run
  extract                                   phase: 1,000 rows out
  transform                                 phase, fails; a second attempt does it
    sales_app, sales_app.insert_orders      sub-phases: a Spark application, a job of it: 1,000 in, 990 out, 4 files
  build                                     phase
    dbt-run-shop, shop.model.orders         sub-phases: a dbt run, a model of it: 120 rows out
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attr
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    RunFacet,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    parent_run,
    processing_engine_run,
)
from openlineage.client.serde import Serde
from openlineage.client.transport.file import FileConfig, FileTransport

NAMESPACE = "prod"
PRODUCER = "https://github.com/apache/airflow/tree/providers-openlineage/2.20.2"
START = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "/opt/airflow/dags/nightly_sales.py", line 31, in transform\n'
    "    load(orders)\n"
    'psycopg2.errors.UndefinedTable: relation "orders_secret" does not exist\nLINE 1: select * from orders_secret\n'
)


@attr.define
class AirflowRunFacet(RunFacet):
    """What Airflow tells of a task; a facet of its own."""

    taskInstance: dict[str, Any] = attr.field(factory=dict)  # noqa: N815 - the name on the wire


class Night:
    """One run of the DAG, `salt` makes another. with_root: whether events name the root as newer integrations do."""

    def __init__(self, salt: str = "", start: datetime = START, *, with_root: bool = True) -> None:
        self._salt = salt
        self._start = start
        self._with_root = with_root

    def run_id(self, name: str) -> str:
        """Of a run of the tree, by the name of its job and, for a second attempt, `:2`."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._salt}/{name}"))

    def events(self) -> Iterator[RunEvent]:
        """In the order in which they happen."""
        yield self._event(0, "START", "nightly_sales")
        yield self._event(1, "START", "nightly_sales.extract", ("nightly_sales",), attempt=1)
        yield self._event(
            61, "COMPLETE", "nightly_sales.extract", ("nightly_sales",), attempt=1, out=(1000, None, None)
        )
        yield self._event(62, "START", "nightly_sales.transform", ("nightly_sales",), attempt=1)
        yield self._event(72, "FAIL", "nightly_sales.transform", ("nightly_sales",), attempt=1, error=TRACEBACK)
        yield from self._second_attempt()
        yield from self._build()
        yield self._event(250, "COMPLETE", "nightly_sales")

    def _second_attempt(self) -> Iterator[RunEvent]:
        task, app, job = "nightly_sales.transform:2", "sales_app", "sales_app.insert_orders"
        above: tuple[str, ...] = ("nightly_sales",)
        yield self._event(80, "START", task, above, attempt=2)
        yield self._event(85, "START", app, (task, *above))
        yield self._event(86, "START", job, (app, task, *above))
        yield self._event(100, "RUNNING", job, (app, task, *above), out=(400, 4000, 2))
        yield self._event(126, "COMPLETE", job, (app, task, *above), into=1000, out=(990, 9900, 4))
        yield self._event(128, "COMPLETE", app, (task, *above))
        yield self._event(130, "COMPLETE", task, above, attempt=2)

    def _build(self) -> Iterator[RunEvent]:
        task, run, model = "nightly_sales.build", "dbt-run-shop", "shop.model.orders"
        above: tuple[str, ...] = ("nightly_sales",)
        yield self._event(131, "START", task, above, attempt=1)
        yield self._event(140, "START", run, (task, *above))
        yield self._event(150, "START", model, (run, task, *above))
        yield self._event(200, "COMPLETE", model, (run, task, *above), out=(120, None, None))
        yield self._event(210, "COMPLETE", run, (task, *above))
        yield self._event(240, "COMPLETE", task, above, attempt=1)

    def _event(
        self,
        second: float,
        kind: str,
        name: str,
        above: tuple[str, ...] = (),
        *,
        attempt: int = 0,
        into: int | None = None,
        out: tuple[int | None, int | None, int | None] | None = None,
        error: str = "",
    ) -> RunEvent:
        """above: the parent, its parent, …, the root. out: rows, bytes, files."""
        facets: dict[str, RunFacet] = {
            "nominalTime": nominal_time_run.NominalTimeRunFacet(nominalStartTime="2026-03-01T00:00:00Z"),
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(version="3.1.0", name="Airflow"),
        }
        if above:
            facets["parent"] = self._parent(above)
        if attempt:
            facets["airflow"] = AirflowRunFacet(taskInstance={"try_number": attempt, "pool": "default_pool"})
        if error:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
                message='relation "orders_secret" does not exist', programmingLanguage="python", stackTrace=error
            )
        return RunEvent(
            eventType=RunState[kind],
            eventTime=(self._start + timedelta(seconds=second)).isoformat(),
            run=Run(runId=self.run_id(name), facets=facets),
            job=Job(namespace=NAMESPACE, name=_job(name), facets={"jobType": _job_type(name, above)}),
            inputs=[] if into is None else [_input(into)],
            outputs=[] if out is None else [_output(*out)],
            producer=PRODUCER,
        )

    def _parent(self, above: tuple[str, ...]) -> parent_run.ParentRunFacet:
        root = None
        if self._with_root:
            root = parent_run.Root(
                run=parent_run.RootRun(runId=self.run_id(above[-1])),
                job=parent_run.RootJob(namespace=NAMESPACE, name=_job(above[-1])),
            )
        return parent_run.ParentRunFacet(
            run=parent_run.Run(runId=self.run_id(above[0])),
            job=parent_run.Job(namespace=NAMESPACE, name=_job(above[0])),
            root=root,
        )


def _job(name: str) -> str:
    return name.partition(":")[0]


def _job_type(name: str, above: tuple[str, ...]) -> job_type_job.JobTypeJobFacet:
    if name.startswith("nightly_sales"):
        kind, integration = "TASK" if above else "DAG", "AIRFLOW"
    else:
        kind, integration = "JOB", "DBT" if "shop" in name else "SPARK"
    return job_type_job.JobTypeJobFacet(processingType="BATCH", integration=integration, jobType=kind)


def _input(rows: int) -> InputDataset:
    facet = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=rows)
    return InputDataset(namespace="postgres://db:5432", name="raw.orders", inputFacets={"inputStatistics": facet})


def _output(rows: int | None, size: int | None, files: int | None) -> OutputDataset:
    facet = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=rows, size=size, fileCount=files
    )
    return OutputDataset(namespace="s3://lake", name="orders", outputFacets={"outputStatistics": facet})


def as_json(event: RunEvent) -> dict[str, Any]:
    """The event as the client sends it."""
    return Serde.to_dict(event)


def write(folder: Path) -> None:
    """Let the client write a night with and without root facets, an event a line."""
    for name, with_root in (("night.jsonl", True), ("night_without_root.jsonl", False)):
        path = folder / name
        path.unlink(missing_ok=True)
        config = FileConfig(log_file_path=str(path), append=True)
        client = OpenLineageClient(transport=FileTransport(config))
        for event in Night(with_root=with_root).events():
            client.emit(event)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
