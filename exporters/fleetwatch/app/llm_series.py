"""Totals of the ledger as series of the meter."""

from __future__ import annotations

from fleetwatch.catalogue import llm
from fleetwatch.ledger import CallLabels, Total
from fleetwatch.meter import Meter


def count(meter: Meter, labels: CallLabels, total: Total) -> None:
    """Add the sums of one label set."""
    who = (labels.agent, labels.team, labels.provider, labels.model)
    what = (labels.provider, labels.model)
    meter.add(llm.REQUESTS, (*who, labels.operation, labels.outcome), total.requests)
    for kind, tokens in total.tokens():
        if tokens:
            meter.add(llm.TOKENS, (*who, kind), tokens)
    meter.add(llm.COST, (*who, labels.confidence), total.cost)
    if labels.error_type:
        meter.add(llm.ERRORS, (*what, labels.error_type), total.requests)
    if labels.confidence == "unpriced":
        meter.add(llm.UNPRICED_REQUESTS, what, total.requests)
    if any(total.duration_counts):
        meter.merge(llm.REQUEST_DURATION, (*what, labels.operation), total.duration_counts, total.duration_sum)
    if any(total.first_token_counts):
        meter.merge(llm.TIME_TO_FIRST_TOKEN, what, total.first_token_counts, total.first_token_sum)
