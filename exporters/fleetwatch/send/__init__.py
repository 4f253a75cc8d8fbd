"""OTLP out: a small blocking client, what a sink's answer means, and a thread that pushes the meter."""
