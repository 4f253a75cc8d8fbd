"""Where the files of the product lie that are not Python."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout: prometheus/, alertmanager/, grafana/ and otel-collector/ lie in it. The package is installed editable."""

RUNBOOKS = PROJECT / "prometheus" / "runbooks"
