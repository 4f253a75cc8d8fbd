"""File systems: space, inodes, read-only, and those that do not answer.

system_filesystem_usage_bytes{system_filesystem_mountpoint="/",…,system_filesystem_state="used"} 1.2e10
system_filesystem_read_only{system_filesystem_mountpoint="/",system_filesystem_type="ext4"} 0
system_filesystem_stuck{system_filesystem_mountpoint="/mnt/models",system_filesystem_type="nfs4"} 0

A source of its own: a file server that is gone must not take the other facts of its machine with it. Space as in
statvfs(3) and df(1).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._mounts import Mount, mount, shown
from fleetwatch.collect.hosts._patience import Patience
from fleetwatch.collect.hosts._read import name_of, of_host, read
from fleetwatch.collect.runner import Incomplete, source

PATIENCE = 1.0
"""Seconds in which a file system should say how full it is; a healthy file server takes milliseconds."""

# They answer from memory, or their disk fails with an error. Any other type may wait for a server or a program.
LOCAL = frozenset(
    "bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs jfs msdos ntfs3 ramfs tmpfs udf vfat xfs zfs".split()  # noqa: SIM905 - shorter
)

# Made by the system and by container engines, by the dozen; they hold nobody's data or repeat what the host shows.
MADE = re.compile(
    rb"/(proc|sys|run/(credentials|user|netns|containerd|docker|containers)|var/lib/"
    rb"(docker|containers|containerd|kubelet|rancher|snapd))/.*"
)

# Answers for mounts that went away meanwhile or are not ours to see.
_LEFT_OUT = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM}


class Space(Protocol):
    """What statvfs says. Blocks are of f_frsize bytes."""

    @property
    def f_frsize(self) -> int: ...
    @property
    def f_blocks(self) -> int: ...
    @property
    def f_bfree(self) -> int: ...
    @property
    def f_bavail(self) -> int: ...
    @property
    def f_files(self) -> int: ...
    @property
    def f_ffree(self) -> int: ...
    @property
    def f_favail(self) -> int: ...


Ask = Callable[[bytes], Space]


@source(interval=15)
class Filesystems:
    """Remembers which file systems hang, lest each cycle hangs one more thread on them."""

    def __init__(self, here: Here, ask: Ask | None = None) -> None:
        self._here = here
        self._ask = ask
        self._from_container = here.proc != Path("/proc")
        self._patience: Patience[tuple[bytes, bytes], Space] = Patience(PATIENCE)

    def __call__(self) -> Iterator[Sample]:
        odd: list[str] = []
        mounts = shown(self._mounts(odd), self._is_ignored)
        remote = [item for item in mounts if item.kind not in LOCAL]
        # The way to a file system that is mounted in a remote one leads through that.
        below = tuple(item.path + b"/" for item in remote)
        remote += [item for item in mounts if item.kind in LOCAL and item.path.startswith(below)]
        questions = {_key(item): self._question(item) for item in remote}
        answers = self._patience.ask(questions)
        for item in mounts:
            key = _key(item)
            if key in answers or key not in questions:
                yield from samples_of(item, answers[key] if key in answers else self._now(item))
        if unasked := len(questions) - len(answers):
            odd.append(f"{unasked} remote file systems were not asked: too many do not answer")
        if odd:
            raise Incomplete("; ".join(odd[:3]))

    def _is_ignored(self, item: Mount) -> bool:
        return bool(self._here.ignored_filesystems.fullmatch(item.kind) or MADE.fullmatch(item.path))

    def _mounts(self, odd: list[str]) -> Iterator[Mount]:
        path = of_host(self._here.proc, "mountinfo")
        for line in read(path).splitlines():
            try:
                yield mount(line)
            except ValueError as error:
                odd.append(f"{path}: {error}")

    def _question(self, item: Mount) -> Callable[[], Space]:
        # Where we see it: below the host's root, where a container has that mounted.
        path = os.path.join(os.fsencode(self._here.root), item.path.lstrip(b"/"))
        if self._ask is not None:
            return partial(self._ask, path)
        return partial(_mounted, path, item) if self._from_container else partial(os.statvfs, path)

    def _now(self, item: Mount) -> Space | OSError:
        try:
            return self._question(item)()
        except OSError as error:
            return error


def _mounted(path: bytes, item: Mount) -> Space:
    """What statvfs says. Raises FileNotFoundError where something else is at the place: a container that has the host's
    root without propagation of mounts does not see what the host has mounted since.
    """
    found = os.statvfs(path)
    device = os.stat(path).st_dev
    # Parts of a btrfs have numbers of their own.
    if item.kind != "btrfs" and b"%d:%d" % (os.major(device), os.minor(device)) != item.device:
        raise FileNotFoundError(errno.ENOENT, "is not mounted here", path)
    return found


def _key(item: Mount) -> tuple[bytes, bytes]:
    return item.number, item.device


def samples_of(item: Mount, answer: Space | OSError | None) -> Iterator[Sample]:
    """One file system. answer: None where it hangs."""
    labels = {"system_filesystem_mountpoint": name_of(item.path), "system_filesystem_type": item.kind}
    if isinstance(answer, OSError) and answer.errno in _LEFT_OUT:
        return
    if answer is None or isinstance(answer, OSError):
        # An error is a file system that does not answer, too: its server or program has ended, its disk is broken.
        yield hosts.FILESYSTEM_STUCK(1, **labels)
        return
    if not answer.f_blocks:  # holds no data: df leaves it out as well
        return
    for state, blocks in _uses(answer.f_blocks, answer.f_bfree, answer.f_bavail):
        yield hosts.FILESYSTEM_USAGE(blocks * answer.f_frsize, system_filesystem_state=state, **labels)
    if answer.f_files:
        for state, inodes in _uses(answer.f_files, answer.f_ffree, answer.f_favail):
            yield hosts.FILESYSTEM_INODES(inodes, system_filesystem_state=state, **labels)
    yield hosts.FILESYSTEM_READ_ONLY(int(item.read_only), **labels)
    if item.kind not in LOCAL:
        yield hosts.FILESYSTEM_STUCK(0, **labels)


def _uses(total: int, unused: int, free: int) -> Iterator[tuple[str, int]]:
    """Used, free and reserved, which add up to the total. unused: free, with what only root may have."""
    return zip(("used", "free", "reserved"), (total - unused, free, unused - free), strict=True)
