"""What boards show of alerts as Alertmanager has them: which fire, and who has them.

Who and why stand in Alertmanager and `fleetwatch alerts list` alone.
"""

from __future__ import annotations

from typing import Any

from grafana.house import Column, Expr, Panel, Scope, table, units

from fleetwatch.catalogue import alerting

KEYS = (alerting.SEVERITY, alerting.ALERTNAME)
HEARD = ("page", "ticket", "other")
"""Severities that somebody is notified of."""


def alerts_now(*domains: str, width: int = 0, height: int = 8) -> Panel:
    """Alerts of these domains that fire, or of all, and until when they are taken on."""
    here = Scope()
    by = (*KEYS, alerting.STATE)
    match: dict[str, Any] = {"severity": HEARD, **({"domain": domains} if domains else {})}
    firing = here.last(alerting.FIRING, by=by, **match)
    ends = here.last(alerting.ACKNOWLEDGED_UNTIL, by=KEYS, how="min", **match)
    acknowledged = here.last(alerting.FIRING, by=by, **match, state="acknowledged")
    return table(
        "Alerts now, and who has them",
        [label.name for label in by],
        [
            Column("Alerts", firing, units.COUNT),
            Column("For", Expr("time()") - here.last(alerting.FIRING_SINCE, by=by, how="min", **match), units.SECONDS),
            Column("Ends", (acknowledged * 0).plus(ends).rounded() * 1000, units.FROM_NOW),
        ],
        titles={"alertname": "Alert"},
        sort="For",
        help="Alerts that fire, without those that nobody is notified of. For: of the oldest. Ends: when the first "
        "acknowledgement does. Who has it and why: `fleetwatch alerts list`, or the silences of Alertmanager.",
        no_data="Nothing fires, or no Alertmanager is asked",
        runbook="NotificationsFailing",
        width=width,
        height=height,
    )
