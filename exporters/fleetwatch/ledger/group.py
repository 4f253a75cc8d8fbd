"""Records of one commit, and what the commit did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from fleetwatch.records.agents import AgentRun, Evaluation, Step, ToolCall
from fleetwatch.records.alerting import Acknowledgement
from fleetwatch.records.lineage import LineageEvent
from fleetwatch.records.llm import LlmCall, UsagePoint
from fleetwatch.records.pipelines import PhaseReport, RunReport
from fleetwatch.records.spot import Decision, DrainStep, FleetSlice, InstanceSeen, LostWork, SpotSignal, Switch

SpotRecord = FleetSlice | SpotSignal | DrainStep | InstanceSeen | Switch | Decision | LostWork

Record = (
    LlmCall
    | UsagePoint
    | AgentRun
    | ToolCall
    | Step
    | Evaluation
    | RunReport
    | PhaseReport
    | LineageEvent
    | Acknowledgement
    | SpotRecord
)
"""What the ledger keeps."""


class KeptSpot(NamedTuple):
    """How many of spot were new. moves: switches, decisions and lost work."""

    slices: int = 0
    signals: int = 0
    moves: int = 0


class Committed(NamedTuple):
    """What one commit did."""

    calls: int = 0
    """Rows that were new."""
    points: int = 0
    """Usage points that were kept."""
    duplicates: dict[str, int] = {}  # noqa: RUF012 - nobody changes it
    """Sightings that were not counted, by reason."""
    fresh_calls: Sequence[LlmCall] = ()
    """Calls that were counted, without those of usage points."""
    fresh_runs: Sequence[AgentRun] = ()
    fresh_tools: Sequence[ToolCall] = ()
    evaluations: int = 0
    pipeline_runs: int = 0
    pipeline_phases: int = 0
    acknowledgements: int = 0
    """What else was new."""
    spot: KeptSpot = KeptSpot()

    def kinds(self) -> dict[str, int]:
        """New records by kind."""
        return {
            "llm_call": self.calls,
            "llm_usage": self.points,
            "agent_run": len(self.fresh_runs),
            "tool_call": len(self.fresh_tools),
            "evaluation": self.evaluations,
            "pipeline_run": self.pipeline_runs,
            "pipeline_phase": self.pipeline_phases,
            "acknowledgement": self.acknowledgements,
            "fleet_slice": self.spot.slices,
            "spot_signal": self.spot.signals,
            "spot_move": self.spot.moves,
        }


class Group:
    """Records of one commit by kind, each kind in the order of its coming."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.is_empty = not records
        self.calls = [record for record in records if type(record) is LlmCall]
        self.points: list[UsagePoint] = []
        self.runs: list[AgentRun] = []
        self.tools: list[ToolCall] = []
        self.steps: list[Step] = []
        self.evaluations: list[Evaluation] = []
        self.reports: list[RunReport | PhaseReport] = []
        self.lineage: list[LineageEvent] = []
        self.acknowledgements: list[Acknowledgement] = []
        self.spot: list[SpotRecord] = []
        if len(self.calls) == len(records):
            return
        lists: dict[type, list[Any]] = {
            UsagePoint: self.points,
            AgentRun: self.runs,
            ToolCall: self.tools,
            Step: self.steps,
            Evaluation: self.evaluations,
            RunReport: self.reports,
            PhaseReport: self.reports,
            LineageEvent: self.lineage,
            Acknowledgement: self.acknowledgements,
            **dict.fromkeys(get_args(SpotRecord), self.spot),
        }
        for record in records:
            if (found := lists.get(type(record))) is not None:
                found.append(record)

    def structure(self) -> list[AgentRun | ToolCall | Step]:
        """What is between the calls."""
        return [*self.steps, *self.runs, *self.tools]
