"""Arithmetic: price, budgets. Pure functions, no input or output; imports nothing of ours but records."""
