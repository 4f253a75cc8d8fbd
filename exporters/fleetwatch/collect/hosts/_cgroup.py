"""Where the own cgroup lies in the tree of cgroup version 2; see cgroups(7)."""

from __future__ import annotations

import errno
import re
from pathlib import PurePosixPath

from fleetwatch.collect.hosts._read import number, read
from fleetwatch.collect.runner import NoData

_ESCAPE = re.compile(r"\\([0-7]{3})")
_ABSENT = {errno.ENOENT, errno.EOPNOTSUPP, errno.ENOTDIR}


def folders(proc: str) -> list[str]:
    """The folder of the own cgroup, then its parents' as far as they can be seen; a container sees only itself.

    Raises NoData without cgroup version 2, in the root of the tree, and where the own cgroup cannot be seen.
    """
    own = path_of(read(f"{proc}/self/cgroup"))
    place = seen_at(read(f"{proc}/self/mountinfo"), own)
    if place is None:
        raise NoData(f"the control group {own} is in no mounted tree of version 2")
    top, below = place
    names = PurePosixPath(below).parts
    found = ["/".join((top.rstrip("/"), *names[:count])) for count in range(len(names), -1, -1)]
    # All but the root of the machine's tree have a type.
    found = [folder for folder in found if if_there(f"{folder}/cgroup.type") is not None]
    if not found:
        raise NoData("this is the root of the control groups: the machine itself")
    return found


def path_of(data: bytes) -> str:
    """/proc/self/cgroup: the path of the own cgroup. Raises NoData where version 1 has some controllers (hybrid)."""
    lines = data.decode("utf-8", "surrogateescape").splitlines()
    paths = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    if not paths or len(lines) > 1:
        raise NoData("no control groups, or controllers of version 1")
    # What the kernel appends where the group is removed and processes still end in it.
    return paths[0].removesuffix(" (deleted)")


def seen_at(mountinfo: bytes, own: str) -> tuple[str, str] | None:
    """Where cgroup version 2 is mounted so that the own cgroup is in it, and its path from there."""
    for line in mountinfo.decode("utf-8", "surrogateescape").splitlines():
        fields, _, kind = line.partition(" - ")
        words = fields.split(" ")
        if kind.split(" ", 1)[0] != "cgroup2" or len(words) < 5:
            continue
        root, point = (PurePosixPath(_plain(word)) for word in words[3:5])
        # Above the root of a namespace the kernel writes .., which leads nowhere in this tree.
        if ".." not in (*root.parts, *PurePosixPath(own).parts) and PurePosixPath(own).is_relative_to(root):
            return str(point), str(PurePosixPath(own).relative_to(root))
    return None


def if_there(path: str) -> bytes | None:
    """A file, None where this kernel or this group does not have it. Raises OSError for other failures."""
    try:
        return read(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise OSError(error.errno, error.strerror, path) from None


def counts(data: bytes) -> dict[str, int]:
    """A file with a name and a count in each line. Raises ValueError for a line that is not so."""
    pairs = (line.split() for line in data.splitlines())
    return {pair[0].decode("ascii", "replace"): number(b" ".join(pair[1:])) for pair in pairs if pair}


def _plain(word: str) -> str:
    """A path of mountinfo without the kernel's escapes for blanks and the like."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), word)
