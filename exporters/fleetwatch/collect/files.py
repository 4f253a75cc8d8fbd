"""A file that is replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def replace(file: Path, body: bytes) -> None:
    """Put bytes in the place of a file, on disk and readable by the owner alone. Raises OSError.

    Who reads it meanwhile, or after a crash, finds the old one or the new one. Its folder is made where there is none.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, fresh = tempfile.mkstemp(prefix=f".{file.stem}-", dir=file.parent)
    try:
        with open(descriptor, "wb") as out:
            out.write(body)
            out.flush()
            os.fsync(out.fileno())
        os.replace(fresh, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
