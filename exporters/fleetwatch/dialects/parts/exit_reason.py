"""Why a task ended, in few words.

    completed    it did what it was to do
    max_turns    its framework stopped it: too many turns, steps, iterations or requests
    max_tokens   the last answer was cut at the limit of tokens
    refused, timeout, cancelled   as the outcome says
    tool_error   a tool failed and the agent could not go on
    error        failed, and nobody says how

Otherwise the type of the error, without its module: `RateLimitError`. A sender may tell a word of its own.
"""

from __future__ import annotations

import re
from typing import Final

MAX_REASON: Final = 40
"""Characters of a reason; exception classes have about 25."""
MAX_MESSAGE: Final = 500
"""Characters of a status message in which the known sentences are looked for. They stand at its beginning."""

_TURNS = (
    r"max(?:imum)?[ _]?(?:number of )?(?:turn|step|iteration|cycle|round|request|llm[ _]?call|model[ _]?call)s?"
    r"|recursion[ _]?(?:error|limit)|(?:turn|step|iteration|call|usage)s?[ _]?limit"
)
_MAX_TURNS = re.compile(_TURNS, re.IGNORECASE)
_MAX_TOKENS = re.compile(r"max_?(?:output_?|completion_?)?tokens|context_?(?:length|window)", re.IGNORECASE)
_TOOL = re.compile(r"tool", re.IGNORECASE)
_TOOL_MESSAGE = re.compile(r"error (?:running|in|executing|calling) tool|tool .{0,80}failed", re.IGNORECASE)
_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*|\d{3}")


def exit_reason_of(outcome: str, error_type: str, finish_reason: str, message: str) -> str:
    """The reason. outcome, error_type: as of a call; finish_reason: of the agent's last answer; message: the status'.

    Of the message nothing is kept but whether it has one of the known sentences: some frameworks tell it only there.
    """
    if outcome == "ok":
        return "max_tokens" if finish_reason.lower() in _CUT else "completed"
    if outcome in {"refused", "timeout", "cancelled"}:
        return outcome
    message = message[:MAX_MESSAGE]
    if _MAX_TURNS.search(error_type) or _MAX_TURNS.search(message):
        return "max_turns"
    if _MAX_TOKENS.search(error_type):
        return "max_tokens"
    if _TOOL.search(error_type) or _TOOL_MESSAGE.search(message):
        return "tool_error"
    return word(error_type.rsplit(".", 1)[-1]) or "error"


def word(sent: str) -> str:
    """`sent` as a reason; empty for what is no single word, and for the conventions' word for "no type known"."""
    return sent if len(sent) <= MAX_REASON and _WORD.fullmatch(sent) and sent != "_OTHER" else ""
