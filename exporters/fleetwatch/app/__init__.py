"""Wires the rooms; beside cli/ the only room that knows them all."""
