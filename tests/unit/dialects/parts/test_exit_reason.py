from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.dialects.parts.exit_reason import MAX_REASON, exit_reason_of, word


@pytest.mark.parametrize(
    ("outcome", "error_type", "finish", "message", "reason"),
    [
        ("ok", "", "", "", "completed"),
        ("ok", "", "stop", "max turns exceeded", "completed"),
        ("ok", "", "length", "", "max_tokens"),
        ("ok", "", "MAX_TOKENS", "", "max_tokens"),
        ("refused", "content_filter", "", "", "refused"),
        ("timeout", "TimeoutError", "", "", "timeout"),
        ("cancelled", "asyncio.CancelledError", "", "", "cancelled"),
        ("error", "langgraph.errors.GraphRecursionError", "", "", "max_turns"),
        ("error", "agents.exceptions.MaxTurnsExceeded", "", "", "max_turns"),
        ("error", "UsageLimitExceeded", "", "", "max_turns"),
        ("error", "max_iterations", "", "", "max_turns"),
        ("error", "_OTHER", "", "{'message': 'Max turns exceeded', 'data': {'max_turns': 1}}", "max_turns"),
        ("error", "_OTHER", "", "Recursion limit of 25 reached without hitting a stop condition.", "max_turns"),
        ("error", "MaxTokensReachedException", "", "", "max_tokens"),
        ("error", "context_length_exceeded", "", "", "max_tokens"),
        ("error", "ToolException", "", "", "tool_error"),
        (
            "error",
            "_OTHER",
            "",
            "{'message': 'Error in agent run', 'data': {'error': 'Error running tool x'}}",
            "tool_error",
        ),
        ("error", "openai.RateLimitError", "", "", "RateLimitError"),
        ("error", "429", "", "", "429"),
        ("error", "_OTHER", "", "", "error"),
        ("error", "", "", "", "error"),
        ("error", "my customer's name is Jane Doe", "", "", "error"),
        ("error", "X" * (MAX_REASON + 1), "", "", "error"),
        ("error", "_OTHER", "", "x" * 1000 + "max turns", "error"),
    ],
)
def test_why_a_task_ended(outcome: str, error_type: str, finish: str, message: str, reason: str) -> None:
    assert exit_reason_of(outcome, error_type, finish, message) == reason


@given(st.sampled_from(["ok", "error", "timeout", "refused", "cancelled"]), st.text(), st.text(), st.text())
def test_a_reason_is_one_word_whatever_was_sent(outcome: str, error: str, finish: str, message: str) -> None:
    reason = exit_reason_of(outcome, error, finish, message)
    assert 0 < len(reason) <= MAX_REASON
    assert reason.isascii()
    assert not set(reason) & set(" \n\t\"'{}<>")


def test_a_message_is_never_the_reason() -> None:
    assert exit_reason_of("error", "_OTHER", "", "Jane") == "error"


@pytest.mark.parametrize("text", ["", "two words", "a\nb", "é", "x" * 41, "_OTHER", "../etc"])
def test_what_is_no_word(text: str) -> None:
    assert word("no_budget") == "no_budget"
    assert word(text) == ""
