"""Servers and gateways of models that are asked for their own metrics; their addresses are settings."""
