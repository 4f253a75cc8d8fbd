"""Provider bills: what was billed, per day, account and line."""
