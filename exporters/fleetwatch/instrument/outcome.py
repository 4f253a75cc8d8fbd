"""How a phase or run ended, from what left its block.

By OpenTelemetry's conventions a failure is work that was done and is not good, an error is work that could not be done.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from typing import Final, Literal, NamedTuple, get_args

from fleetwatch.instrument.block import error_type, short

Result = Literal["success", "failure", "error", "timeout", "cancellation", "skip"]
RESULTS: Final = frozenset(get_args(Result))

GOOD: Final = frozenset({"success", "skip"})
_STOPPED: Final = (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
_SIGNALLED: Final = 128
_LONGEST: Final = 100
_LATE: Final = (TimeoutError, subprocess.TimeoutExpired)


class Outcome(NamedTuple):
    """error_type: a class, a signal or a short word; never a text."""

    result: str = "success"
    reason: str = "completed"
    error_type: str = ""


def of(error: BaseException | None) -> Outcome:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return Outcome()
    if isinstance(error, subprocess.CalledProcessError):
        return of_child(error.returncode)
    if isinstance(error, BaseExceptionGroup):
        return _of_group(error)
    result, reason = "failure", "exception"
    if isinstance(error, _STOPPED):
        return Outcome("cancellation", reason, "cancelled")
    if isinstance(error, SystemExit):
        return _of_exit(error.code)
    if isinstance(error, _LATE):
        result = "timeout"
    elif type(error).__name__ == "BrokenProcessPool":
        # A worker of concurrent.futures or joblib that was killed, mostly for want of memory; no status is told.
        result, reason = "error", "killed"
    return Outcome(result, reason, error_type(error))


def reported(kind: str, result: Result) -> Outcome:
    """As the application says it."""
    known = isinstance(result, str) and result in RESULTS
    return Outcome(result if known else "failure", "reported", short(kind)[:_LONGEST] or "error")


def _of_group(group: BaseExceptionGroup[BaseException]) -> Outcome:
    """What all of them say where they say the same, as when a group of tasks is cancelled or one of them fails."""
    told = {of(error) for error in group.exceptions}
    if len(told) == 1:
        return told.pop()
    results = {each.result for each in told}
    return Outcome(results.pop() if len(results) == 1 else "failure", "exception", error_type(group))


def _of_exit(code: object) -> Outcome:
    """Of a program that ends itself. 128 and a signal's number is how it says that this signal told it to."""
    if isinstance(code, int) and _SIGNALLED < code < _SIGNALLED + signal.NSIG:
        return Outcome("cancellation", "exit", _name(code - _SIGNALLED))
    return Outcome("failure", "exit", "SystemExit")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"


def of_child(status: int) -> Outcome:
    """Of a child process; status: as `subprocess` tells it, below zero for a signal."""
    if status == 0:
        return Outcome()
    if status > 0:
        return Outcome("failure", "exit", f"exit {status}")
    return Outcome("error", "killed", _name(-status))
