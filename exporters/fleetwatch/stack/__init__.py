"""The stack on this machine: find the programs, render their files, start them, watch them, stop them."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot do what was asked; the text is for the user, a line per reason."""
