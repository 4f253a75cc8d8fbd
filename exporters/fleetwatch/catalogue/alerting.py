"""Alerts as Alertmanager has them: which fire, who has taken them on, and how long that took."""

from __future__ import annotations

from fleetwatch.catalogue.metric import counter, gauge, histogram, label

ALERTNAME = label("alertname", "Name of the alert; of an acknowledgement of several at once `_other`.", at_most=200)
DOMAIN = label("domain", "What the alert is about, as its rule says.", at_most=30)
SEVERITY = label(
    "severity", "As the alert says; other: another one, or none.", one_of=("page", "ticket", "info", "other")
)
STATE = label(
    "state",
    "What becomes of it: notified; taken on by somebody until a time; muted by another silence or by hours without "
    "notifications; muted by another alert.",
    one_of=("active", "acknowledged", "silenced", "inhibited"),
)

FIRING = gauge(
    "alert.firing",
    unit="{alert}",
    help="Alerts that fire, as Alertmanager has them now.",
    labels=(ALERTNAME, DOMAIN, SEVERITY, STATE),
)
FIRING_SINCE = gauge(
    "alert.firing_since.timestamp",
    unit="s",
    help="When the one of them that has fired for longest began to, Unix time.",
    labels=(ALERTNAME, DOMAIN, SEVERITY, STATE),
)
ACKNOWLEDGED_UNTIL = gauge(
    "alert.acknowledged_until.timestamp",
    unit="s",
    help="When the first acknowledgement of an alert that fires ends, Unix time; it may be notified again then.",
    labels=(ALERTNAME, DOMAIN, SEVERITY),
)
ACKNOWLEDGEMENTS = counter(
    "alert.acknowledgements",
    unit="{acknowledgement}",
    help="Acknowledgements, each counted once however often it was extended.",
    labels=(ALERTNAME, SEVERITY),
    durable=True,
)
ACKNOWLEDGE_TIME = histogram(
    "alert.acknowledge",
    unit="s",
    help="From the alert's beginning to its acknowledgement, of those that were acknowledged while they fired.",
    labels=(SEVERITY,),
    # A page is answered in minutes, a ticket within the day.
    buckets=(30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400),
    durable=True,
)
