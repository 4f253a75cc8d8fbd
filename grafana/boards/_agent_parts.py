"""What the boards of all agents and of one agent share."""

from __future__ import annotations

from functools import reduce

from grafana.house import BAD, GOOD, NEUTRAL, QUIET, WARN, Expr, Limits, Recorded, Scope

from fleetwatch.catalogue import agents
from fleetwatch.catalogue.metric import Label, Metric

AGENT = agents.AGENT
FAILED = ("error", "timeout")  # a refused task was answered, a cancelled one was the caller's wish
FAILURES = Limits(warn=0.1, bad=0.3)
TOOL_FAILURES = Limits(warn=0.2, bad=0.5)
AT_ALL = Limits(warn=0.5, bad=0.5)

GONE = Recorded("agents:gone:present", (AGENT, agents.PRESENCE_VALUE))
PROGRESS_AGE = Recorded("agents:progress_age:seconds", (AGENT, agents.HOST))
COST_DAY = Recorded("agents:cost_usd:increase1d", (AGENT, agents.TEAM))
CALLS_DAY = Recorded("agents:requests:increase1d", (AGENT, agents.TEAM))
ERRORS_DAY = Recorded("agents:errors:increase1d", (AGENT, agents.TEAM))
OK_DAY = Recorded("agents:tasks_ok:ratio1d", (AGENT,))
OK_LOW = Recorded("agents:tasks_ok:ratio1d_low", (AGENT,))
PER_SUCCESS = Recorded("agents:cost_per_success_usd:1d", (AGENT,))

NO_AGENTS = "No agent says that it is there"
NO_TASKS = "No task ended in this time range"
NO_TOOLS = "No tool was called"
NO_SCORES = "Nobody evaluated"

# State -> (words, colour). Where processes of one agent differ, the one that needs somebody is shown: the first.
STATES = {
    "failed": ("Failed", BAD),
    "blocked": ("Blocked", WARN),
    "waiting_human": ("Waits for a person", "purple"),
    "draining": ("Draining", QUIET),
    "waiting_tool": ("Waits for a tool", "light-blue"),
    "working": ("Works", NEUTRAL),
    "idle": ("Idle", GOOD),
}
NUMBERS = {state: len(STATES) - place for place, state in enumerate(STATES)}
LANES = {str(NUMBERS[state]): shown for state, shown in STATES.items()}


def state_number(scope: Scope) -> Expr:
    """The agent's state as a number of LANES."""
    numbered = [(scope.last(agents.STATE, by=AGENT, state=state) > 0) * 0 + number for state, number in NUMBERS.items()]
    return reduce(Expr.otherwise, numbered).named("")


class Work:
    """Tasks, tools, money and quality of the agents in a scope. by: labels that the result keeps."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def tasks(self, *by: Label) -> Expr:
        return self.scope.increase(agents.TASKS, by=by)

    def failed(self, *by: Label) -> Expr:
        bad = self.scope.increase(agents.TASKS, by=by, outcome=FAILED)
        return bad.share_of(self.tasks(*by))

    def spent(self, *by: Label) -> Expr:
        return self.scope.increase(agents.TASK_SPENT, by=by)

    def unpriced(self, *by: Label) -> Expr:
        """Tasks of which nobody knows what they cost."""
        return self.scope.increase(agents.TASKS_UNPRICED, by=by).otherwise(self.tasks(*by) * 0)

    def known(self, money: Expr) -> Expr:
        """Of agents: without those of which no dollar is known, for 0 would be a price."""
        return (money > 0).otherwise(money.without(self.scope.increase(agents.TASKS_UNPRICED, by=AGENT) > 0))

    def wasted(self, *by: Label) -> Expr:
        bad = self.scope.increase(agents.TASK_SPENT, by=by, outcome=("error", "timeout", "refused", "cancelled"))
        return bad.otherwise(self.spent(*by) * 0)

    def per_task(self, *by: Label) -> Expr:
        return self._mean(agents.TASK_COST, by)

    def calls_per_task(self, *by: Label) -> Expr:
        return self._mean(agents.TASK_LLM_CALLS, by)

    def tool_calls(self, *by: Label) -> Expr:
        return self.scope.increase(agents.TOOL_CALLS, by=by)

    def tool_failures(self, *by: Label) -> Expr:
        bad = self.scope.increase(agents.TOOL_CALLS, by=by, outcome=FAILED)
        return bad.share_of(self.tool_calls(*by))

    def quality(self, *by: Label) -> Expr:
        return self._mean(agents.EVALUATION_SCORE, by)

    def evaluations(self, *by: Label) -> Expr:
        return self.scope.increase(agents.EVALUATION_SCORE, by=by, part="count")

    def _mean(self, metric: Metric, by: tuple[Label, ...]) -> Expr:
        """Of a histogram's values."""
        count = self.scope.increase(metric, by=by, part="count")
        return self.scope.increase(metric, by=by, part="sum") / (count > 0)
