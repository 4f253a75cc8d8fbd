"""The settings' mappings reach the spans that come in."""

from __future__ import annotations

import time
from pathlib import Path

from fleetwatch.app.exporter import _translators
from fleetwatch.receive.otlp import TRANSLATORS
from fleetwatch.records.pipelines import PhaseReport, RunReport, Tally
from fleetwatch.settings import load
from support_otlp import SECOND, span, traces_of

EXAMPLE = """
pipelines:
  spans:
    - service: tri*
      run: nightly *
      pipeline: job.name
      items: rows.written
"""


def test_a_mapping_of_the_settings_is_applied(tmp_path: Path) -> None:
    file = tmp_path / "fleetwatch.yml"
    file.write_text(EXAMPLE, encoding="utf-8")
    now = time.time_ns()
    times = {"start_time_unix_nano": now - SECOND, "end_time_unix_nano": now}
    root = span({"job.name": "prices"}, name="nightly load", span_id=b"r" * 8, **times)
    child = span({"rows.written": 5}, name="load", parent_span_id=b"r" * 8, **times)
    translate = _translators(load(file, {}))["traces"]
    run, phase = translate(traces_of([root, child])).records[:2]
    assert isinstance(run, RunReport)
    assert isinstance(phase, PhaseReport)
    assert (run.pipeline, phase.phase, phase.tally) == ("prices", "load", Tally(items_out=5))


def test_without_mappings_nothing_looks_for_them(tmp_path: Path) -> None:
    file = tmp_path / "fleetwatch.yml"
    file.write_text("{}", encoding="utf-8")
    assert _translators(load(file, {})) is TRANSLATORS
