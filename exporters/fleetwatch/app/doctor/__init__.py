"""What stands in the way of the exporter here, and what to do about it: `fleetwatch doctor`.

Nothing is changed: no ledger is made, no port is taken for longer than a blink, what sources learn is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fleetwatch.app.doctor import machine, outward
from fleetwatch.app.doctor.finding import Finding
from fleetwatch.settings import Settings

__all__ = ["Finding", "examine"]


def examine(settings: Settings, tell: Callable[[str], None], *, paid: bool = False) -> Iterator[Finding]:
    """All findings, as they are made. tell: is told what takes long. paid: also ask Cost Explorer."""
    yield from machine.settings_hold(settings)
    yield from machine.files(settings)
    yield from machine.ledger(settings)
    yield from machine.ports_of(settings)
    yield from machine.stack_of(settings)
    yield from outward.ask(settings, tell, paid=paid)
