from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

import fleetwatch.dialects
from fleetwatch.dialects import Translation, dialects, translate_logs, translate_traces
from support_otlp import NOW, span, traces_of


def test_every_dialect_of_the_folder_is_registered_once() -> None:
    folder = Path(fleetwatch.dialects.__file__).parent
    expected = {file.stem for file in folder.glob("*.py") if "\nDIALECT = " in file.read_text(encoding="utf-8")}
    assert expected
    assert sorted(dialect.name for dialect in dialects()) == sorted(expected)


SECOND_DIALECT = '''
"""Counts the spans that others leave over."""
from fleetwatch.dialects.parts.dialect import Dialect


def spans(resource, spans, batch):
    batch.records.extend(span.name for span in spans)
    return []


DIALECT = Dialect("second", 200, spans)
'''


def test_a_dialect_is_added_by_its_file_alone(tmp_path: Path) -> None:
    """It is asked after the more special ones, for the spans that they do not know."""
    (tmp_path / "second.py").write_text(SECOND_DIALECT, encoding="utf-8")
    request = traces_of([span({"http.route": "/"}, name="web"), span({"gen_ai.operation.name": "chat"}, name="llm")])
    script = f"""
import pkgutil, sys
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
found = pkgutil.iter_modules
pkgutil.iter_modules = lambda path: (path.append({str(tmp_path)!r}), found(path))[1]
from fleetwatch.dialects import dialects, translate_traces
request = ExportTraceServiceRequest.FromString(sys.stdin.buffer.read())
records = translate_traces(request, {NOW}).records
print(dialects()[-1].name, [getattr(record, "operation", record) for record in records])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], input=request.SerializeToString(), capture_output=True, check=False
    )
    assert done.stdout.decode().strip() == "second ['chat', 'web']", done.stderr.decode()


def test_spans_of_other_kinds_are_accepted_and_leave_nothing() -> None:
    found = translate_traces(traces_of([span({"http.request.method": "GET"}, end_time_unix_nano=0)]), NOW)
    assert found == Translation([], {}, 0)


def test_logs_are_accepted_and_leave_nothing() -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "x"
    assert translate_logs(request, NOW) == Translation([], {}, 0)


def test_the_time_is_the_machine_s_unless_told() -> None:
    found = translate_traces(traces_of([span({"gen_ai.operation.name": "chat"}, end_time_unix_nano=2**63)]))
    assert found.rejected == {"bad_time": 1}
    assert 0 < found.skew < 2**63
