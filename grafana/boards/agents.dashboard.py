"""All agents: who needs somebody, and what they cost."""

from __future__ import annotations

from grafana.boards import _agent_parts as parts
from grafana.boards._agent_parts import AGENT, AT_ALL, FAILURES, NO_AGENTS, NO_SCORES, NO_TASKS, NO_TOOLS, TOOL_FAILURES
from grafana.house import (
    BAD,
    GOOD,
    OUTCOMES,
    WARN,
    Column,
    Expr,
    Limits,
    Panel,
    Recorded,
    Scope,
    Variable,
    answer,
    bars,
    board,
    outside,
    row,
    stat,
    state_timeline,
    table,
    timeseries,
    top,
    total,
    units,
)

from fleetwatch.catalogue import agents, llm
from fleetwatch.catalogue.metric import Label

fleet = Scope(agents.TEAM, AGENT)
work = parts.Work(fleet)
TITLES = {AGENT.name: "Agent", agents.TOOL.name: "Tool", agents.EVALUATION.name: "Evaluation"}
TRENDS = Limits(warn=1.5, bad=3)
PROVIDER_COST = Recorded("agents:provider_cost_usd:increase1d", (llm.PROVIDER,))
PROVIDER_CALLS = Recorded("agents:provider_requests:increase1d", (llm.PROVIDER,))
PROVIDER_ERRORS = Recorded("agents:provider_errors:increase1d", (llm.PROVIDER,))


def present(*words: str) -> Expr:
    return fleet.last(agents.PRESENCE, how="sum", presence=words)


def against(expr: Expr, days: int) -> Expr:
    """Now over the same figure so many days ago."""
    return expr / (expr.before(days) > 0)


# --- the answer

answers = [
    stat(
        "Reporting",
        present("reporting"),
        unit=units.COUNT,
        meaning=GOOD,
        help="Processes of agents that say they are there (heartbeats of `fleetwatch.instrument` or the same gauges).",
        no_data=NO_AGENTS,
    ),
    stat(
        "Gone",
        total(fleet.last(parts.GONE, by=AGENT), how="count").otherwise(present("reporting") * 0),
        unit=units.COUNT,
        meaning=AT_ALL,
        help="Agents of which no process is left, that did not say goodbye and whose hosts are still there.",
        no_data=NO_AGENTS,
        runbook="AgentMissing",
    ),
    stat(
        "Asking",
        fleet.last(agents.STATE, how="sum", state="waiting_human"),
        unit=units.COUNT,
        meaning=Limits(warn=0.5, bad=1e9),
        help="Processes of agents that wait for somebody's answer.",
        no_data="No agent tells its state",
        runbook="AgentWaitsLong",
    ),
    stat(
        "In circles",
        fleet.last(agents.LOOP_STREAK),
        unit=units.COUNT,
        meaning=Limits(warn=5, bad=10),
        help="Most identical tool calls in a row of a running task. From ten on it is an alert.",
        no_data="No task calls tools now",
        runbook="AgentLooping",
    ),
    stat(
        "Failed tasks",
        work.failed(),
        unit=units.SHARE,
        meaning=FAILURES,
        help="Share of the tasks in the time range that ended in an error or a timeout.",
        no_data=NO_TASKS,
        runbook="AgentTasksFailing",
    ),
    stat(
        "Spent",
        work.spent(),
        unit=units.USD,
        help="Known cost of the LLM calls of all outermost tasks that ended in the time range, sub-agents included. "
        "What has no price is missing: see the column No price.",
        no_data=NO_TASKS,
    ),
    stat(
        "Wasted",
        work.wasted(),
        unit=units.USD,
        meaning=WARN,
        help="Cost of the tasks that did not end well.",
        no_data=NO_TASKS,
        runbook="AgentTasksFailing",
    ),
    stat(
        "Alerts",
        outside("ALERTS", how="count", alertstate="firing", domain="agents").otherwise(0),
        unit=units.COUNT,
        meaning=AT_ALL,
        help="Alerts about agents that fire now.",
    ),
]

# --- who needs somebody

lanes = state_timeline(
    "What they do",
    parts.state_number(fleet),
    mappings=parts.LANES,
    help="State of each agent by its own word; where its processes differ, the one that needs somebody.",
    no_data="No agent tells its state",
    runbook="AgentStuck",
    width=14,
)
idle_for = bars(
    "Longest without progress",
    top(12, total(fleet.last(parts.PROGRESS_AGE, by=(AGENT, agents.HOST)), by=AGENT, how="max")),
    unit=units.SECONDS,
    help="Time since an agent that reports last got on. Only for those that work is it an alert.",
    no_data=NO_AGENTS,
    link="agent",
    runbook="AgentStuck",
    width=10,
)
one_by_one = table(
    "Agents",
    [AGENT.name],
    [
        Column("Tasks", work.tasks(AGENT), units.COUNT),
        Column("Failed", work.failed(AGENT), units.SHARE, meaning=FAILURES),
        Column("Spent", work.known(work.spent(AGENT)), units.USD),
        Column("Wasted", work.known(work.wasted(AGENT)), units.USD),
        Column("Per task", work.per_task(AGENT), units.USD_SMALL),
        Column("Per good result", fleet.last(parts.PER_SUCCESS, by=AGENT), units.USD_SMALL),
        Column("No price", work.unpriced(AGENT), units.COUNT, meaning=AT_ALL),
        Column("LLM calls", work.calls_per_task(AGENT), units.TIMES),
        Column("Tools fail", work.tool_failures(AGENT), units.SHARE, meaning=TOOL_FAILURES),
        Column("Quality", work.quality(AGENT), units.SCORE),
        Column("Loop", fleet.last(agents.LOOP_STREAK, by=AGENT), units.COUNT, meaning=Limits(warn=5, bad=10)),
    ],
    titles=TITLES,
    sort="Spent",
    help="One row per agent, of the time range. Spent, Wasted: of outermost tasks, each dollar once. Per task: "
    "sub-agents included. Per good result: all that was spent in a day over the tasks that went well. No price: tasks "
    "of which nobody knows what they cost. LLM calls: per task. Quality: mean of all scores. A click opens the agent.",
    no_data=NO_TASKS,
    link="agent",
    runbook="CostPerTaskUp",
    height=11,
)

# --- money and trends

outcomes = timeseries(
    "How tasks end",
    fleet.rate(agents.TASKS, by=agents.OUTCOME),
    unit=units.PER_SECOND,
    stacked=True,
    colours=OUTCOMES,
    help="Tasks per second by outcome.",
    no_data=NO_TASKS,
    runbook="AgentTasksFailing",
)
exits = bars(
    "Why tasks end badly",
    top(10, fleet.increase(agents.TASKS, by=(AGENT, agents.EXIT_REASON), outcome=parts.FAILED) > 0),
    unit=units.COUNT,
    meaning=BAD,
    help="Failed tasks in the time range by agent and reason.",
    no_data="No task failed",
    runbook="AgentTasksFailing",
)


def trend(title: str, key: Label, cost: Expr, calls: Expr, failed: Expr, *, link: str) -> Panel:
    """The past day of each value of `key`, against earlier days."""
    columns = []
    for name, value, unit in (
        ("Cost", cost, units.USD),
        ("Calls", calls, units.COUNT),
        ("Failed", failed, units.COUNT),
    ):
        columns += [
            Column(f"{name}, day", value, unit),
            Column(f"{name} to yesterday", against(value, 1), units.TIMES, meaning=TRENDS),
            Column(f"{name} to last week", against(value, 7), units.TIMES, meaning=TRENDS),
        ]
    return table(
        title,
        [key.name],
        columns,
        sort="Cost, day",
        help="The past 24 hours of all LLM calls, and how many times the day before and the same day of last week that "
        "is. Empty: there was nothing then.",
        no_data="No LLM calls in a day",
        link=link,
        height=8,
    )


by_agent = trend(
    "Trend by agent",
    AGENT,
    *(fleet.last(day, by=AGENT, how="sum") for day in (parts.COST_DAY, parts.CALLS_DAY, parts.ERRORS_DAY)),
    link="agent",
)
by_provider = trend(
    "Trend by provider",
    llm.PROVIDER,
    *(fleet.last(day, by=llm.PROVIDER) for day in (PROVIDER_COST, PROVIDER_CALLS, PROVIDER_ERRORS)),
    link="models",
)

# --- tools, loops, quality

tools = table(
    "Tools",
    [AGENT.name, agents.TOOL.name],
    [
        Column("Calls", work.tool_calls(AGENT, agents.TOOL), units.COUNT),
        Column("Failed", work.tool_failures(AGENT, agents.TOOL), units.SHARE, meaning=TOOL_FAILURES),
    ],
    titles=TITLES,
    sort="Failed",
    help="Tool calls in the time range, those that fail most first.",
    no_data=NO_TOOLS,
    runbook="ToolFailing",
    height=9,
)
loops = timeseries(
    "Identical tool calls in a row",
    fleet.last(agents.LOOP_STREAK, by=AGENT),
    unit=units.COUNT,
    limits=Limits(warn=5, bad=10),
    help="Longest streak of a running task, by agent. Parallel calls, polling and calls that bring new results do not "
    "count.",
    no_data="No task calls tools now",
    runbook="AgentLooping",
)
quality = table(
    "Quality",
    [AGENT.name, agents.EVALUATION.name],
    [
        Column("Mean score", work.quality(AGENT, agents.EVALUATION), units.SCORE),
        Column("Evaluations", work.evaluations(AGENT, agents.EVALUATION), units.COUNT),
    ],
    titles=TITLES,
    sort="Evaluations",
    help="Mean of the scores that evaluators gave in the time range. Few evaluations say little.",
    no_data=NO_SCORES,
    runbook="QualityDown",
    height=9,
)

dashboard = board(
    "agents",
    "Agents",
    question="Which agents need somebody, and what do they cost?",
    variables=[Variable(agents.TEAM, llm.REQUESTS), Variable(AGENT, llm.REQUESTS)],
    leads_to=[("agent", "One agent"), ("topology", "Who calls whom"), ("models", "Models"), ("llm", "LLM cost")],
    alerts="agents",
    rows=[
        answer(*answers),
        row("Who needs somebody", lanes, idle_for),
        row("", one_by_one),
        row("How it ends", outcomes, exits),
        row("More or less than before", by_agent, by_provider),
        row("Tools, loops, quality", tools, loops, quality),
    ],
)
