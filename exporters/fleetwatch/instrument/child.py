"""Child processes of a phase."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

from fleetwatch.instrument.block import trouble

if TYPE_CHECKING:
    from fleetwatch.instrument.phase import Phase


class _Child(subprocess.Popen[Any]):
    """It asks the kernel what it took when it waits for it; wait4(2) tells that of this one child.

    `subprocess` has no public place for that. Where its private one should go, `usage` stays None, and the child counts
    with all others of the process.
    """

    usage: Any = None

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        try:
            pid, status, usage = os.wait4(self.pid, wait_flags)
        except ChildProcessError:  # somebody else waited for it: as in `subprocess`, no status is a good one
            return self.pid, 0
        if pid == self.pid:
            self.usage = usage
        return pid, status


def run(phase: Phase, args: Any, options: dict[str, Any]) -> subprocess.CompletedProcess[Any]:
    """As `subprocess.run`, whose order of things this follows: a child is killed when its time is up."""
    check, timeout, given = (options.pop(name, default) for name, default in _OWN)
    if options.pop("capture_output", False):
        if options.get("stdout") is not None or options.get("stderr") is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        options["stdout"] = options["stderr"] = subprocess.PIPE
    if given is not None:
        if options.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        options["stdin"] = subprocess.PIPE
    base = options.pop("env", None)
    options["env"] = {**(os.environ if base is None else base), **_context_of(phase)}
    with _Child(args, **options) as process:
        phase.child_began(process.pid)
        try:
            out, err = process.communicate(given, timeout=timeout)
        except BaseException:  # also Ctrl-C: it must not go on without us
            process.kill()
            process.wait()
            raise
        finally:
            _ended(phase, process)
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


_OWN = (("check", True), ("timeout", None), ("input", None))


def _context_of(phase: Phase) -> dict[str, str]:
    try:
        return phase.environ()
    except Exception:
        trouble("context of child processes")
        return {}


def _ended(phase: Phase, process: _Child) -> None:
    try:
        usage = process.usage
        phase.child_ended(process.pid, None if usage is None else int((usage.ru_utime + usage.ru_stime) * 1e9))
    except Exception:
        trouble("usage of child processes")
