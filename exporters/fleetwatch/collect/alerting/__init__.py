"""Alertmanager, asked which alerts fire and who has taken them on."""
