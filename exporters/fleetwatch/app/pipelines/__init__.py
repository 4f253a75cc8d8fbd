"""Pipelines as series, and their runs as tables."""
