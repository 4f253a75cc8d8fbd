"""What the verbs that serve have in common."""

from __future__ import annotations

import contextlib
import logging
import os
import resource


def prepare() -> None:
    """Log lines, private files, and as many open files as this process may have."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # What applications send, and what a company spends on what, is nobody else's business.
    os.umask(0o077)
    # Thousands of connections, and the files of a thousand processes that are looked at, are more than the usual 1,024.
    # Where more is forbidden, fewer must do.
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
