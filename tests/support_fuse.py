"""A real file system that never answers: a FUSE mount whose program does not read its requests."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import wait_for

MS_NOSUID, MS_NODEV = 2, 4
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def mounted(path: Path) -> bool:
    return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def mount(source: str, path: Path, kind: str, options: str = "") -> None:
    """Mount a file system. Skips the test where that is not allowed or the kernel has no such type."""
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV)
    if _libc.mount(source.encode(), os.fsencode(path), kind.encode(), flags, options.encode()) != 0:
        pytest.skip(f"a file system of type {kind} cannot be mounted here: {os.strerror(ctypes.get_errno())}")


def unmount(path: Path) -> None:
    """umount2(2), lazily: nothing waits for a program that does not answer."""
    if _libc.umount2(os.fsencode(path), MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), "umount2", str(path))
    wait_for(lambda: not mounted(path), what=f"{path} to be unmounted")


class Stuck:
    """A mount that does not answer until `end`."""

    def __init__(self, path: Path, device: int) -> None:
        self.path = path
        self._device: int | None = device

    def end(self) -> None:
        """End the connection: all who wait are told that there is nobody."""
        if self._device is not None:
            os.close(self._device)
            self._device = None


@contextmanager
def stuck(path: Path, subtype: str = "stuck") -> Iterator[Stuck]:
    """Mounted at the folder until the block ends. Needs root and /dev/fuse, else skips."""
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("a file system that hangs needs root and /dev/fuse")
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    here = Stuck(path, device)
    try:
        mount("stuck", path, "fuse", f"fd={device},rootmode=40000,user_id=0,group_id=0,subtype={subtype}")
        try:
            yield here
        finally:
            here.end()
            unmount(path)
    finally:
        here.end()
