"""Runs and phases of pipelines: each counted once, kept, and costed."""
