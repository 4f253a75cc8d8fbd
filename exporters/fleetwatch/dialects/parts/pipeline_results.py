"""How a run or phase ended, in OpenTelemetry's words, whatever its system calls it."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_genai import exception_type
from fleetwatch.dialects.otel_genai_names import STATUS_ERROR
from fleetwatch.dialects.parts.pipeline_facts import ERROR_TYPE, REASON, Found, reason_of, text
from fleetwatch.dialects.parts.text import clean

_WORDS: Final = {
    # result of the records: words of GitHub, GitLab, Jenkins, Tekton, Azure, and the conventions' own
    "success": "success succeeded successful completed passed ok neutral partiallysucceeded",
    "failure": "failure failed unstable action_required stale",
    "error": "error errored startup_failure infrastructure_failure",
    "timeout": "timeout timed_out timedout",
    "cancellation": "cancellation cancelled canceled cancel aborted abort stopped",
    "skip": "skip skipped not_built not_executed",
}
RESULT_OF: Final = {word: result for result, words in _WORDS.items() for word in words.split()}
_LONGEST_WORD: Final = 40

_TIMEOUT = re.compile(r"time(d[ _]?)?[ _]?out|deadline", re.IGNORECASE)
_CANCELLED = re.compile(r"cancel|keyboardinterrupt|abort", re.IGNORECASE)


class Ending(NamedTuple):
    result: str
    reason: str
    error_type: str


def ending_of(span: Span, found: Found, told: str) -> Ending:
    """How the span's work ended. told: the result as its system says it; a word that nobody knows counts as none."""
    error_type = text(found, ERROR_TYPE)
    raised = clean(exception_type(span)) if span.events else ""
    error_type = error_type or raised
    result = result_of(told) or _by_status(span, error_type)
    if result in {"success", "skip"}:
        error_type = ""
    return Ending(result, reason_of(text(found, REASON)) or _reason(result, raised), error_type)


def ended(span: Span, found: Found, told: str, now: int) -> dict[str, Any]:
    """What reports of runs and of phases have alike: that this span was it, and how it ended. now: Unix ns."""
    return {
        **ending_of(span, found, told)._asdict(),
        "at": min(span.end_time_unix_nano, now),
        "state": "ended",
        "started": span.start_time_unix_nano,
        "ended": span.end_time_unix_nano,
        "trace": span.trace_id,
        "span": span.span_id,
    }


def result_of(told: str) -> str:
    """The result that a word means; empty for a word that nobody knows."""
    return RESULT_OF.get(told[:_LONGEST_WORD].strip().lower().replace("-", "_"), "")


def _by_status(span: Span, error_type: str) -> str:
    if int(span.status.code) != STATUS_ERROR:
        return "success"
    if _TIMEOUT.search(error_type):
        return "timeout"
    return "cancellation" if _CANCELLED.search(error_type) else "failure"


def _reason(result: str, raised: str) -> str:
    if result in {"success", "skip"}:
        return "completed"
    return "exception" if raised else "reported"
