"""For applications: agents and pipelines that say what they do, on the OpenTelemetry API.

    from fleetwatch.instrument import agent, pipeline

    with agent("researcher", version="1.2", team="search") as me, me.task("summarise") as task:
        with me.tool("web_search", arguments={"query": "tides"}) as tool:
            tool.result(search("tides"))
        task.evaluation("relevance", score=0.9)

    with pipeline("nightly", version="1.4") as run:
        with run.phase("load") as phase:
            phase.items(100)

It imports nothing but OpenTelemetry's API, starts no thread, and never raises into the application. Without an SDK it
does nothing. See INSTRUMENT.md.
"""

from fleetwatch.instrument.agent import Agent, agent
from fleetwatch.instrument.phase import Phase, current_phase
from fleetwatch.instrument.pipeline import phase, pipeline
from fleetwatch.instrument.run import Run, current_run
from fleetwatch.instrument.spans import Task, Tool, current_task

__all__ = [
    "Agent",
    "Phase",
    "Run",
    "Task",
    "Tool",
    "agent",
    "current_phase",
    "current_run",
    "current_task",
    "phase",
    "pipeline",
]
