"""What the boards of all agents and of one agent share."""

from __future__ import annotations

from functools import reduce

from grafana.house import BAD, GOOD, NEUTRAL, QUIET, WARN, Expr, Limits, Recorded, Scope

from fleetwatch.catalogue import agents, llm
from fleetwatch.catalogue.metric import Label

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
OK_HIGH = Recorded("agents:tasks_ok:ratio1d_high", (AGENT,))
PER_SUCCESS = Recorded("agents:cost_per_success_usd:1d", (AGENT,))

NO_AGENTS = "No agent says that it is there"
NO_TASKS = "No task ended in this time range"
NO_TOOLS = "No tool was called"
NO_SCORES = "Nobody evaluated"

# Where processes of one agent differ, the one that needs somebody is shown.
STATES = ("failed", "blocked", "waiting_human", "draining", "waiting_tool", "working", "idle")
LANES = {
    "7": ("Failed", BAD),
    "6": ("Blocked", WARN),
    "5": ("Waits for a person", "purple"),
    "4": ("Draining", QUIET),
    "3": ("Waits for a tool", "light-blue"),
    "2": ("Works", NEUTRAL),
    "1": ("Idle", GOOD),
}


def state_number(scope: Scope) -> Expr:
    """The agent's state as a number of LANES."""
    numbered = [
        (scope.last(agents.STATE, by=AGENT, state=state) > 0) * 0 + (len(STATES) - place)
        for place, state in enumerate(STATES)
    ]
    return reduce(Expr.otherwise, numbered).named("")


class Work:
    """Tasks, tools, money and quality of the agents in a scope. by: labels that the result keeps."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def tasks(self, *by: Label) -> Expr:
        return self.scope.increase(agents.TASKS, by=by)

    def failed(self, *by: Label) -> Expr:
        bad = self.scope.increase(agents.TASKS, by=by, outcome=FAILED)
        return bad.otherwise(self.tasks(*by) * 0) / (self.tasks(*by) > 0)

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
        cost = self.scope.increase(agents.TASK_COST, by=by, part="sum")
        return cost / (self.scope.increase(agents.TASK_COST, by=by, part="count") > 0)

    def calls_per_task(self, *by: Label) -> Expr:
        calls = self.scope.increase(agents.TASK_LLM_CALLS, by=by, part="sum")
        return calls / (self.scope.increase(agents.TASK_LLM_CALLS, by=by, part="count") > 0)

    def tool_calls(self, *by: Label) -> Expr:
        return self.scope.increase(agents.TOOL_CALLS, by=by)

    def tool_failures(self, *by: Label) -> Expr:
        bad = self.scope.increase(agents.TOOL_CALLS, by=by, outcome=FAILED)
        return bad.otherwise(self.tool_calls(*by) * 0) / (self.tool_calls(*by) > 0)

    def quality(self, *by: Label) -> Expr:
        score = self.scope.increase(agents.EVALUATION_SCORE, by=by, part="sum")
        return score / (self.evaluations(*by) > 0)

    def evaluations(self, *by: Label) -> Expr:
        return self.scope.increase(agents.EVALUATION_SCORE, by=by, part="count")

    def cost(self, *by: Label) -> Expr:
        """Of all calls, also of those outside tasks."""
        return self.scope.increase(llm.COST, by=by)
