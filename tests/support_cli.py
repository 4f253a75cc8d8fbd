"""Verbs in this process, on a ledger of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner, Result

from fleetwatch.cli import verbs
from fleetwatch.ledger import Ledger
from fleetwatch.reckon.price import PriceBook
from fleetwatch.records.llm import LlmCall

PRICES = PriceBook()


def run(folder: Path, *arguments: str) -> Result:
    """A verb with its data in `folder`; --config must be among what the verb takes."""
    config = folder / "fleetwatch.yml"
    if not config.exists():
        config.write_text(f"data_dir: {folder}\n", encoding="utf-8")
    return CliRunner().invoke(verbs, [*arguments, "--config", str(config)])


def ledger_of(folder: Path, records: Sequence[LlmCall], *, checkpoint: bool = True) -> Path:
    """A ledger that holds these calls."""
    ledger = Ledger(folder / "ledger.db", PRICES)
    ledger.commit(records)
    if checkpoint:
        ledger.take()
        ledger.checkpoint()
    ledger.close()
    return ledger.path
