"""Who calls whom: agents, models, tools and hosts as circles and arrows."""

from __future__ import annotations

from grafana.house import (
    BAD,
    GOOD,
    Column,
    Expr,
    Limits,
    Scope,
    Variable,
    answer,
    bars,
    board,
    row,
    stat,
    table,
    timeseries,
    top,
    total,
    units,
)
from grafana.house.nodegraph import EDGE, NODE, node_graph, only, relabelled

from fleetwatch.catalogue import agents
from fleetwatch.catalogue.metric import Label

calls = Scope(agents.SOURCE)
SOURCE, TARGET, KIND = agents.SOURCE, agents.TARGET, agents.EDGE_KIND
LINE = (SOURCE, TARGET, KIND)
FAILED = ("error", "timeout")  # a refusal is an answer, a cancelled call the caller's wish
ERRORS = Limits(warn=0.05, bad=0.25)
NO_CALLS = "No calls in this time range"


def made(by: tuple[Label, ...] = LINE) -> Expr:
    return calls.increase(agents.EDGE_REQUESTS, by=by)


def took(by: tuple[Label, ...] = LINE) -> Expr:
    return calls.increase(agents.EDGE_TIME, by=by)


def as_edge(expr: Expr) -> Expr:
    """A line's value with the ids of its two ends."""
    ends = relabelled(relabelled(expr, SOURCE.name, SOURCE.name, prefix="agent:"), TARGET.name, KIND.name, TARGET.name)
    return between(ends)


def between(ends: Expr) -> Expr:
    """A value of a line whose ends are named, with the line's own id."""
    return only(relabelled(ends, "id", SOURCE.name, TARGET.name, separator=" > "), EDGE)


def as_node(expr: Expr, label: str, kind: str = "") -> Expr:
    """A value with the node's id, title and subtitle. kind: where no label says it."""
    named = relabelled(expr, "title", label)
    named = relabelled(named, "subtitle", prefix=kind) if kind else relabelled(named, "subtitle", KIND.name)
    return only(relabelled(named, "id", "subtitle", "title"), NODE)


def of_nodes(value: Expr, of_callers: Expr) -> Expr:
    """What is said of those that are called, and of callers that nobody calls."""
    return as_node(value, TARGET.name).otherwise(as_node(of_callers, SOURCE.name, "agent"))


CALLED, CALLER = (TARGET, KIND), (SOURCE,)
HOSTS = calls.last(agents.PRESENCE, by=(agents.AGENT, agents.HOST), how="sum", presence="reporting") > 0
AT_HOSTS = as_node(HOSTS, agents.HOST.name, "host")


def share(by: tuple[Label, ...]) -> Expr:
    return calls.increase(agents.EDGE_REQUESTS, by=by, outcome=FAILED).share_of(made(by))


# --- the answer

answers = [
    stat(
        "Calls",
        made(()),
        unit=units.COUNT,
        help="Calls of agents to other agents, model providers and tools in the time range.",
        no_data=NO_CALLS,
    ),
    stat(
        "Failed calls",
        share(()),
        unit=units.SHARE,
        meaning=ERRORS,
        help="Share of the calls that ended in an error or a timeout.",
        no_data=NO_CALLS,
        runbook="ToolFailing",
    ),
    stat(
        "Edges in trouble",
        total(share(LINE) > ERRORS.bad, how="count").otherwise(made(()) * 0),
        unit=units.COUNT,
        meaning=Limits(warn=0.5, bad=0.5),
        help="Pairs of caller and called of which more than a quarter of the calls fail.",
        no_data=NO_CALLS,
        runbook="ToolFailing",
    ),
    stat(
        "Mean time of a call",
        took(()) / (made(()) > 0),
        unit=units.SECONDS,
        help="Time that all calls took, over their number.",
        no_data=NO_CALLS,
    ),
]

# --- the picture

graph = node_graph(
    "Who calls whom",
    nodes={
        "mainstat": of_nodes(made(CALLED), made(CALLER)),
        "secondarystat": of_nodes(took(CALLED) / (made(CALLED) > 0), took(CALLER) / (made(CALLER) > 0)),
        # A host that is there is well.
        "arc__errors": of_nodes(share(CALLED), share(CALLER)).otherwise(AT_HOSTS * 0),
        "arc__ok": of_nodes(1 - share(CALLED), 1 - share(CALLER)).otherwise(AT_HOSTS * 0 + 1),
        "detail__processes": AT_HOSTS,
    },
    edges={
        "mainstat": as_edge(made()),
        "secondarystat": as_edge(took() / (made() > 0)),
        "detail__processes": between(
            relabelled(
                relabelled(HOSTS, SOURCE.name, agents.AGENT.name, prefix="agent:"),
                TARGET.name,
                agents.HOST.name,
                prefix="host:",
            )
        ),
    },
    words={"mainstat": ("calls", 1), "secondarystat": ("s", 0.01)},
    arcs={"ok": GOOD, "errors": BAD},
    links={
        "Open this agent": ("agent", "agent"),
        "Open this provider's models": ("models", "provider"),
        "Open this host": ("host", "host_name"),
    },
    help="Circles: agents, model providers, tools, and hosts that agents run on. The ring is the share of calls that "
    "went well (green) and failed (red); inside: calls in the time range and their mean time. A click opens the board "
    "behind it.",
    no_data=NO_CALLS,
)

# --- evidence

edges = table(
    "Edges",
    [SOURCE.name, KIND.name, TARGET.name],
    [
        Column("Calls", made((SOURCE, KIND, TARGET)), units.COUNT),
        Column("Failed", share((SOURCE, KIND, TARGET)), units.SHARE, meaning=ERRORS),
        Column("Mean time", took((SOURCE, KIND, TARGET)) / (made((SOURCE, KIND, TARGET)) > 0), units.SECONDS),
    ],
    titles={SOURCE.name: "Caller", KIND.name: "Kind", TARGET.name: "Called"},
    sort="Failed",
    help="One row per caller and called, those that fail most first.",
    no_data=NO_CALLS,
    runbook="ToolFailing",
    height=10,
)
worst = bars(
    "Most failed calls",
    top(12, calls.increase(agents.EDGE_REQUESTS, by=(SOURCE, TARGET), outcome=FAILED) > 0),
    unit=units.COUNT,
    meaning=BAD,
    help="Failed calls in the time range by caller and called.",
    no_data="No call failed",
    runbook="ToolFailing",
)
slowest = bars(
    "Slowest calls",
    top(12, took((SOURCE, TARGET)) / (made((SOURCE, TARGET)) > 0)),
    unit=units.SECONDS,
    help="Mean time of a call by caller and called.",
    no_data=NO_CALLS,
)
traffic = timeseries(
    "Calls by kind",
    calls.rate(agents.EDGE_REQUESTS, by=KIND),
    unit=units.PER_SECOND,
    stacked=True,
    help="Calls per second to agents, models and tools.",
    no_data=NO_CALLS,
)

dashboard = board(
    "topology",
    "Topology",
    question="Who calls whom, and where does it fail or take long?",
    variables=[Variable(SOURCE, agents.EDGE_REQUESTS, title="Caller")],
    leads_to=[("agents", "All agents"), ("models", "Models side by side"), ("hosts", "Hosts")],
    alerts="agents",
    rows=[
        answer(*answers),
        row("", graph),
        row("Line by line", edges),
        row("Where it hurts", worst, slowest, traffic),
    ],
)
