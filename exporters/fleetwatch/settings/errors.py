"""What is raised when settings are wrong."""

from __future__ import annotations


class SettingsError(Exception):
    """The settings are wrong; the text names the place and what was expected, a line per mistake."""
