"""fleetwatch: what agents, models, pipelines and machines cost, how well they work, and who must act now."""

__version__ = "0.1.0"
