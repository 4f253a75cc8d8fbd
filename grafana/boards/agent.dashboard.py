"""One agent: does it get on, how do its tasks end, what do they cost, how good are they."""

from __future__ import annotations

from grafana.boards import _agent_parts as parts
from grafana.boards._agent_parts import AGENT, FAILURES, NO_AGENTS, NO_SCORES, NO_TASKS, NO_TOOLS, TOOL_FAILURES
from grafana.house import (
    BAD,
    GOOD,
    NEUTRAL,
    OUTCOMES,
    QUIET,
    Column,
    Expr,
    Facts,
    Limits,
    Matches,
    Scope,
    Variable,
    answer,
    bars,
    board,
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
from fleetwatch.catalogue.metric import Metric

one = Scope(AGENT)
# Edges name it as their source.
edges = Scope()
work = parts.Work(one)
OF_IT = Matches("$agent")
PRESENCES = {
    "reporting": ("Reports", GOOD),
    "goodbye": ("Said goodbye", QUIET),
    "missing": ("Missing", BAD),
    "host_gone": ("Gone with its host", NEUTRAL),
    "never_seen": ("Never seen", "purple"),
}
STATE_COLOURS = {state: colour for state, (_, colour) in parts.STATES.items()}


def quantiles(metric: Metric) -> list[Expr]:
    return [one.quantile(q, metric) for q in (0.5, 0.95)]


# --- the answer

answers = [
    stat(
        "Reporting",
        one.last(agents.PRESENCE, how="sum", presence="reporting"),
        unit=units.COUNT,
        meaning=Limits(warn=0.5, bad=0.5, falling=True),
        help="Its processes that say they are there.",
        no_data="Sends no heartbeats",
        runbook="AgentMissing",
    ),
    stat(
        "Still for",
        total(one.last(parts.PROGRESS_AGE, by=(AGENT, agents.HOST)), how="max"),
        unit=units.SECONDS,
        help="Time since it last got on, of the process that is worst off. An alert only while it says that it works.",
        no_data=NO_AGENTS,
        runbook="AgentStuck",
    ),
    stat(
        "Went well",
        one.last(parts.OK_DAY),
        unit=units.SHARE,
        meaning=Limits(warn=0.9, bad=0.7, falling=True),
        help="Share of its tasks of the past 24 hours with the outcome ok.",
        no_data="No task in a day",
        runbook="AgentTasksFailing",
    ),
    stat(
        "At least",
        one.last(parts.OK_LOW),
        unit=units.SHARE,
        help="Lower end of the 95 % interval (Wilson) of the share to the left. Few tasks make it wide.",
        no_data="No task in a day",
    ),
    stat(
        "Cost per task",
        work.per_task(),
        unit=units.USD_SMALL,
        help="Mean cost of the LLM calls of its tasks in the time range, sub-agents included; of tasks whose calls all "
        "have a price.",
        no_data="No task with a known price",
        runbook="CostPerTaskUp",
    ),
    stat(
        "Per good result",
        one.last(parts.PER_SUCCESS),
        unit=units.USD_SMALL,
        help="All that its outermost tasks cost in 24 hours, over those that went well.",
        no_data="None in a day, or no price",
        runbook="CostPerTaskUp",
    ),
    stat(
        "Quality",
        work.quality(),
        unit=units.SCORE,
        help="Mean of all scores of its results in the time range.",
        no_data=NO_SCORES,
        runbook="QualityDown",
    ),
]

# --- what it does

lane = state_timeline(
    "What it does",
    parts.state_number(one),
    mappings=parts.LANES,
    help="Its state by its own word; where its processes differ, the one that needs somebody.",
    no_data="Does not tell its state",
    runbook="AgentStuck",
    height=5,
    width=14,
)
processes = timeseries(
    "Processes by state",
    one.last(agents.STATE, by=agents.STATE_VALUE, how="sum") > 0,
    unit=units.COUNT,
    stacked=True,
    colours=STATE_COLOURS,
    help="How many of its processes are in which state.",
    no_data="Does not tell its state",
    width=10,
)
where = table(
    "Where it runs",
    [agents.HOST.name],
    [
        Column("Last beat", one.age(agents.LAST_HEARTBEAT, by=agents.HOST), units.SECONDS),
        Column("Last progress", one.age(agents.LAST_PROGRESS, by=agents.HOST), units.SECONDS),
        Column("Beats every", one.last(agents.HEARTBEAT_INTERVAL, by=agents.HOST), units.SECONDS),
    ],
    facts=[
        Facts(
            one.last(agents.INFO, by=(agents.HOST, agents.VERSION, agents.FRAMEWORK, agents.MODEL)),
            {agents.VERSION.name: "Version", agents.FRAMEWORK.name: "Framework", agents.MODEL.name: "Model"},
        ),
        Facts(
            one.last(agents.PRESENCE, by=(agents.HOST, agents.PRESENCE_VALUE)) > 0,
            {agents.PRESENCE_VALUE.name: "Presence"},
            PRESENCES,
        ),
    ],
    titles={agents.HOST.name: "Host"},
    sort="Last beat",
    help="Its processes by host, and whether they are there. Ages are of the process that is worst off.",
    no_data=NO_AGENTS,
    link="host",
    runbook="AgentMissing",
    height=6,
)

# --- tasks

ends = timeseries(
    "How tasks end",
    one.rate(agents.TASKS, by=agents.OUTCOME),
    unit=units.PER_SECOND,
    stacked=True,
    colours=OUTCOMES,
    help="Tasks per second by outcome.",
    no_data=NO_TASKS,
    runbook="AgentTasksFailing",
)
reasons = bars(
    "Why they end",
    top(10, one.increase(agents.TASKS, by=(agents.OUTCOME, agents.EXIT_REASON)) > 0),
    unit=units.COUNT,
    help="Tasks in the time range by outcome and reason.",
    no_data=NO_TASKS,
    runbook="AgentTasksFailing",
)
durations = timeseries(
    "How long tasks take",
    *quantiles(agents.TASK_DURATION),
    unit=units.SECONDS,
    help="Half of the tasks, and 95 of 100, take no longer than this. Interpolated inside the histogram's buckets.",
    no_data=NO_TASKS,
)

# --- money

money = timeseries(
    "What tasks cost",
    *quantiles(agents.TASK_COST),
    unit=units.USD_ANY,
    help="Half of the tasks, and 95 of 100, cost no more than this. Interpolated inside the histogram's buckets.",
    no_data=NO_TASKS,
    runbook="CostPerTaskUp",
)
by_outcome = bars(
    "Spent by outcome",
    top(5, one.increase(agents.TASK_SPENT, by=agents.OUTCOME) > 0),
    unit=units.USD,
    help="Known cost of its outermost tasks in the time range by how they ended. What did not end well is waste.",
    no_data="It ran no outermost task that cost something",
    runbook="AgentTasksFailing",
)
by_model = bars(
    "Spent by model",
    top(8, one.increase(llm.COST, by=(llm.PROVIDER, llm.MODEL)) > 0),
    unit=units.USD,
    help="Cost of all its LLM calls in the time range, by model.",
    no_data="No LLM calls under its name",
    link="models",
)

# --- runaway

running = timeseries(
    "LLM calls of the running task",
    one.last(agents.RUNNING_LLM_CALLS).named("running task"),
    one.quantile(0.95, agents.TASK_LLM_CALLS).named("p95 of finished tasks"),
    unit=units.COUNT,
    help="Calls so far of its running task that has most, beside what finished tasks needed.",
    no_data="No task is running",
    runbook="AgentRunaway",
)
streak = timeseries(
    "Identical tool calls in a row",
    one.last(agents.LOOP_STREAK).named("streak"),
    unit=units.COUNT,
    limits=Limits(warn=5, bad=10),
    help="Of a running task. Parallel calls, polling and calls that bring new results do not count.",
    no_data="No task calls tools now",
    runbook="AgentLooping",
)
queue = timeseries(
    "Queue and open tasks",
    one.last(agents.QUEUE_DEPTH).named("waiting"),
    one.last(agents.OPEN_TASKS).named("open"),
    unit=units.COUNT,
    help="Tasks that wait for it, and tasks that it works on.",
    no_data="Does not tell its queue",
    runbook="AgentQueueGrowing",
)

# --- tools and quality

tools = table(
    "Tools",
    [agents.TOOL.name],
    [
        Column("Calls", work.tool_calls(agents.TOOL), units.COUNT),
        Column("Failed", work.tool_failures(agents.TOOL), units.SHARE, meaning=TOOL_FAILURES),
    ],
    titles={agents.TOOL.name: "Tool"},
    sort="Calls",
    help="Its tool calls in the time range.",
    no_data=NO_TOOLS,
    runbook="ToolFailing",
    height=8,
    width=6,
)
scores = table(
    "Quality by evaluation",
    [agents.EVALUATION.name, agents.MODEL.name],
    [
        Column("Mean score", work.quality(agents.EVALUATION, agents.MODEL), units.SCORE),
        Column("Evaluations", work.evaluations(agents.EVALUATION, agents.MODEL), units.COUNT),
    ],
    titles={agents.EVALUATION.name: "Evaluation", agents.MODEL.name: "Model"},
    sort="Evaluations",
    help="Mean of the scores that evaluators gave, by evaluation and model. Few evaluations say little.",
    no_data=NO_SCORES,
    runbook="QualityDown",
    height=8,
    width=8,
)
CALLED = (agents.EDGE_KIND, agents.TARGET)


def made(*outcomes: str) -> Expr:
    """Its calls of others, of these outcomes or of all."""
    if outcomes:
        return edges.increase(agents.EDGE_REQUESTS, by=CALLED, source=OF_IT, outcome=outcomes)
    return edges.increase(agents.EDGE_REQUESTS, by=CALLED, source=OF_IT)


calls_out = table(
    "Whom it calls",
    [label.name for label in CALLED],
    [
        Column("Calls", made(), units.COUNT),
        Column(
            "Failed",
            made(*parts.FAILED).share_of(made()),
            units.SHARE,
            meaning=FAILURES,
        ),
        Column("Mean time", edges.increase(agents.EDGE_TIME, by=CALLED, source=OF_IT) / (made() > 0), units.SECONDS),
    ],
    titles={agents.EDGE_KIND.name: "Kind", agents.TARGET.name: "Called"},
    sort="Calls",
    help="Agents, model providers and tools that it called in the time range.",
    no_data="It called nobody",
    runbook="ToolFailing",
    height=8,
    width=10,
)

dashboard = board(
    "agent",
    "One agent",
    question="Does it get on, how do its tasks end, what do they cost, and how good are they?",
    variables=[Variable(AGENT, llm.REQUESTS, one=True)],
    leads_to=[("agents", "All agents"), ("topology", "Who calls whom"), ("models", "Models")],
    alerts="agents",
    alerts_where='agent=~"$agent"',
    rows=[
        answer(*answers),
        row("What it does", lane, processes),
        row("", where),
        row("How its tasks end", ends, reasons, durations),
        row("What they cost", money, by_outcome, by_model),
        row("Is it running away", running, streak, queue),
        row("Tools, quality, whom it calls", tools, scores, calls_out),
    ],
)
