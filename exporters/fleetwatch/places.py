"""Where the files of the product lie that are not Python."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout with prometheus/, alertmanager/, grafana/ and otel-collector/; the package is installed editable."""

RUNBOOKS = PROJECT / "prometheus" / "runbooks"
