"""Series of other programs that our rules and boards may use: the short allow-list beside the catalogue.

Each with its labels (job and instance come on top) and the reason why it is needed. What is not here, not in the
catalogue and no recording rule is a mistake.
"""

from __future__ import annotations

from typing import NamedTuple


class Foreign(NamedTuple):
    """labels: the program's own; reason: why one of our files asks for it."""

    labels: tuple[str, ...]
    reason: str


FOREIGN = {
    # Prometheus makes these for every target it scrapes.
    "up": Foreign((), "whether the exporter answers; nobody can tell that of himself"),
    "scrape_samples_scraped": Foreign((), "distance to sample_limit; the flag for scrape_sample_limit is not needed"),
    "scrape_duration_seconds": Foreign((), "a scrape that nears its timeout"),
    # Prometheus about itself.
    "prometheus_target_scrapes_exceeded_body_size_limit_total": Foreign((), "bodies cut; sizes need a feature flag"),
    "prometheus_rule_evaluation_failures_total": Foreign(("rule_group",), "rules that are blind"),
    "prometheus_rule_group_last_duration_seconds": Foreign(("rule_group",), "what our rules cost"),
    "prometheus_config_last_reload_successful": Foreign((), "a wrong configuration that was refused; in a runbook"),
    "prometheus_notifications_errors_total": Foreign(("alertmanager",), "alerts that never reached Alertmanager"),
    # Alertmanager about itself.
    "alertmanager_notifications_failed_total": Foreign(("integration",), "messages that nobody got"),
    "alertmanager_notifications_total": Foreign(("integration",), "what the failures are a share of"),
    "alertmanager_alerts": Foreign(("state",), "alerts by state, on the board of the watcher"),
    # Prometheus makes this one of its alerts.
    "ALERTS": Foreign(
        ("alertname", "alertstate", "severity", "domain", "owner", "host_name", "agent", "pipeline", "phase", "slot"),
        "firing alerts, on boards",
    ),
}
