"""Agents: who is there, what they do, tasks and their cost, tools, quality, loops; and who calls whom."""

from __future__ import annotations

from fleetwatch.catalogue import llm
from fleetwatch.catalogue.metric import NANO, counter, gauge, histogram, label

# The same records as there: boards narrow by them whatever the metric.
AGENT, TEAM, PROVIDER, MODEL = llm.AGENT, llm.TEAM, llm.PROVIDER, llm.MODEL
HOST = label("host_name", "Machine that the agent runs on (`host.name`); empty where not told.", at_most=2000)
VERSION = label("version", "Version of the agent.", at_most=100)
FRAMEWORK = label("framework", "What the agent is built with.", at_most=40)
STATE_VALUE = label(
    "state",
    "What the agent is doing, by its own word.",
    one_of=("idle", "working", "waiting_tool", "waiting_human", "blocked", "draining", "failed"),
)
PRESENCE_VALUE = label(
    "presence",
    "Whether the agent is there: reporting; goodbye: ended on purpose; missing: fell silent; host_gone: silent, and "
    "its host was reclaimed, said goodbye or is missing itself; never_seen: expected by the settings only.",
    one_of=("reporting", "goodbye", "missing", "host_gone", "never_seen"),
)
OUTCOME = label("outcome", "How it ended.", one_of=("ok", "error", "timeout", "refused", "cancelled"))
EXIT_REASON = label("exit_reason", "Why the task ended: completed, max_turns, an error's type …", at_most=30)
TOOL = label("tool", "Name of the tool.", at_most=300)
EVALUATION = label("evaluation", "Name of the evaluation.", at_most=50)
VERDICT = label("verdict", "Label that the evaluator gave; empty where it gave a score only.", at_most=20)
SOURCE = label("source", "Who calls.", at_most=500)
TARGET = label("target", "Who is called: an agent, a provider, a tool.", at_most=700)
EDGE_KIND = label("kind", "What is called.", one_of=("agent", "model", "tool"))

# --- who is there, by their own word

INFO = gauge(
    "agent.info",
    unit="",
    help="What the agent is; always 1. What is not known is empty.",
    labels=(AGENT, TEAM, HOST, VERSION, FRAMEWORK, MODEL),
)
STATE = gauge(
    "agent.state",
    unit="{process}",
    help="Processes of the agent in each state: 0 or 1 where it has one process.",
    labels=(AGENT, STATE_VALUE),
)
PRESENCE = gauge(
    "agent.presence",
    unit="{process}",
    help="Processes of the agent by whether they are there.",
    labels=(AGENT, HOST, PRESENCE_VALUE),
)
LAST_HEARTBEAT = gauge(
    "agent.last_heartbeat.timestamp",
    unit="s",
    help="When the agent was last known to be alive, Unix time; of several processes on one host the oldest.",
    labels=(AGENT, HOST),
)
LAST_PROGRESS = gauge(
    "agent.last_progress.timestamp",
    unit="s",
    help="When the agent last got on with its work, Unix time; of several processes on one host that of the one at "
    "work which has stood still for longest, of none at work the newest.",
    labels=(AGENT, HOST),
)
AT_WORK = gauge(
    "agent.at_work",
    unit="{process}",
    help="Processes of the agent that work or wait for a tool: the others are allowed to stand still.",
    labels=(AGENT, HOST),
)
HEARTBEAT_INTERVAL = gauge(
    "agent.heartbeat.interval",
    unit="s",
    help="Time between two heartbeats by the agent's own word; of several processes on one host the longest.",
    labels=(AGENT, HOST),
)
OPEN_TASKS = gauge(
    "agent.open_tasks", unit="{task}", help="Tasks that the agent works on at the moment.", labels=(AGENT,)
)
QUEUE_DEPTH = gauge("agent.queue.depth", unit="{task}", help="Tasks that wait for the agent.", labels=(AGENT,))
QUEUE_AGE = gauge(
    "agent.queue.oldest_age", unit="s", help="How long the oldest waiting task has waited.", labels=(AGENT,)
)
REJECTED = counter(
    "agent.beats_rejected",
    unit="{beat}",
    help="Heartbeats of agents that were not taken, for there are too many.",
    labels=(),
)

# --- tasks

TASKS = counter(
    "agent.tasks",
    unit="{task}",
    help="Invocations of agents that have ended; those of sub-agents count for the sub-agent.",
    labels=(AGENT, OUTCOME, EXIT_REASON),
    durable=True,
)
TASK_DURATION = histogram(
    "agent.task.duration",
    unit="s",
    help="Duration of invocations.",
    labels=(AGENT,),
    # A routed question takes a second, a coding task an hour.
    buckets=(1, 3, 10, 30, 60, 180, 600, 1800, 3600, 14400),
    durable=True,
)
TASK_COST = histogram(
    "agent.task.cost.usd",
    unit="{USD}",
    help="Cost of the LLM calls of an invocation, sub-agents included; of those whose calls all have a price.",
    labels=(AGENT,),
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
    durable=True,
)
TASK_SPENT = counter(
    "agent.task.spent.usd",
    unit="{USD}",
    help="Known cost of outermost invocations, sub-agents included, by how they ended: each dollar once.",
    labels=(AGENT, TEAM, OUTCOME),
    scale=NANO,
    durable=True,
)
TASKS_UNPRICED = counter(
    "agent.tasks_unpriced",
    unit="{task}",
    help="Invocations with calls of unknown price: what they cost is not known.",
    labels=(AGENT,),
    durable=True,
)
TASK_LLM_CALLS = histogram(
    "agent.task.llm_calls",
    unit="{call}",
    help="LLM calls of an invocation, sub-agents included.",
    labels=(AGENT,),
    # Many in the first bucket: the calls come without the trace of their task.
    buckets=(0, 1, 2, 4, 8, 16, 32, 64, 128, 256),
    durable=True,
)
TASK_TOOL_CALLS = histogram(
    "agent.task.tool_calls",
    unit="{call}",
    help="Tool calls of an invocation, sub-agents included.",
    labels=(AGENT,),
    buckets=(0, 1, 2, 4, 8, 16, 32, 64, 128, 256),
    durable=True,
)

# --- tools

TOOL_CALLS = counter(
    "agent.tool_calls",
    unit="{call}",
    help="Tool calls, each counted once however many instrumentations saw it.",
    labels=(AGENT, TOOL, OUTCOME),
    durable=True,
)
TOOL_DURATION = histogram(
    "agent.tool.duration",
    unit="s",
    help="Duration of tool calls.",
    labels=(TOOL,),
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    durable=True,
)

# --- runaway agents

LOOP_STREAK = gauge(
    "agent.loop.streak",
    unit="{call}",
    help="Longest run of one tool call with one set of arguments among the agent's running tasks.",
    labels=(AGENT,),
)
LOOPS = counter(
    "agent.loops",
    unit="{loop}",
    help="Runs of identical tool calls that reached the limit.",
    labels=(AGENT, TOOL),
)
RUNNING_LLM_CALLS = gauge(
    "agent.running_task.llm_calls",
    unit="{call}",
    help="LLM calls so far of the agent's running task that has most.",
    labels=(AGENT,),
)

# --- quality

EVALUATIONS = counter(
    "agent.evaluations",
    unit="{evaluation}",
    help="Evaluation results.",
    labels=(AGENT, MODEL, EVALUATION, VERDICT),
    durable=True,
)
EVALUATION_SCORE = histogram(
    "agent.evaluation.score",
    unit="{score}",
    help="Scores that evaluators gave, mostly from 0 to 1.",
    labels=(AGENT, MODEL, EVALUATION),
    buckets=(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
    durable=True,
)

# --- models in tasks: the model that cost most in a task stands for it

MODEL_TASKS = counter(
    "agent.model.tasks",
    unit="{task}",
    help="Outermost invocations by the model that cost most in them.",
    labels=(PROVIDER, MODEL, OUTCOME),
    durable=True,
)
MODEL_TASK_SPENT = counter(
    "agent.model.task_spent.usd",
    unit="{USD}",
    help="Cost of outermost invocations by the model that cost most in them.",
    labels=(PROVIDER, MODEL, OUTCOME),
    scale=NANO,
    durable=True,
)
MODEL_TOOL_CALLS = counter(
    "agent.model.tool_calls",
    unit="{call}",
    help="Tool calls of outermost invocations by the model that cost most in them.",
    labels=(PROVIDER, MODEL, OUTCOME),
    durable=True,
)

# --- who calls whom

EDGE_REQUESTS = counter(
    "topology.requests",
    unit="{request}",
    help="Calls from one part of the system to another.",
    labels=(SOURCE, TARGET, EDGE_KIND, OUTCOME),
    durable=True,
)
EDGE_TIME = counter(
    "topology.request.time",
    unit="s",
    help="Time that the calls took together; divided by their number it is the mean.",
    labels=(SOURCE, TARGET, EDGE_KIND),
    scale=NANO,
    durable=True,
)
