"""The settings of pipelines as the ledger wants them."""

from __future__ import annotations

from fleetwatch.catalogue.metric import NANO
from fleetwatch.ledger.pipelines.counts import SignalRule
from fleetwatch.ledger.pipelines.pipelines import PipelineRules
from fleetwatch.reckon.run_cost import MachineRule
from fleetwatch.settings import Settings


def rules_of(settings: Settings) -> PipelineRules:
    section = settings.pipelines
    return PipelineRules(
        slots=section.slots,
        max_phases=section.max_phases,
        max_executions=section.max_executions,
        max_open=section.max_open,
        keep_days=section.keep_days,
        grace=settings.agents.trace_grace,
        signals=tuple(SignalRule(item.name, item.kind, item.pipeline) for item in section.signals),
        machines=tuple(
            MachineRule(item.host, int(item.usd_per_hour * NANO), item.share == "whole") for item in section.machines
        ),
    )
