"""The durable truth: accepts each record once and keeps exact totals and history."""

from __future__ import annotations

from fleetwatch.ledger.errors import LedgerError
from fleetwatch.ledger.store import Ledger
from fleetwatch.ledger.totals import CallLabels, Total

__all__ = ["CallLabels", "Ledger", "LedgerError", "Total"]
