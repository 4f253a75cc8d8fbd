"""Files of /proc that stay open from one look to the next, for as long as there is room."""

from __future__ import annotations

import os
import resource

CLOSED = -1

_BYTES = 1024
"""More than any of these files has that matters: a line or a few."""

_MOST = 4096
"""Files kept open. Each costs the kernel about 5 KiB."""


class Shelf:
    """Reading an open file of /proc again costs half of opening it anew, or less."""

    def __init__(self) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The rest is for others: connections, the spool.
        self._room = _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // 4)

    def read(self, path: str, handle: int) -> tuple[bytes, int]:
        """What the file has now, and its handle for the next time. handle: that of the last time, or CLOSED."""
        if handle != CLOSED:
            return os.pread(handle, _BYTES, 0), handle
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        keep = False
        try:
            data = os.pread(handle, _BYTES, 0)
            keep = self._room > 0
        finally:
            if not keep:
                os.close(handle)
        if not keep:
            return data, CLOSED
        self._room -= 1
        return data, handle

    def close(self, handle: int) -> None:
        if handle != CLOSED:
            os.close(handle)
            self._room += 1
