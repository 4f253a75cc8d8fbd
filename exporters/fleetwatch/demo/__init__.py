"""Demo and load: a real trace of LLM calls as genuine OpenTelemetry GenAI spans. Imports nothing else of ours."""
