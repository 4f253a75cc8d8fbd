"""Where the own cgroup lies in the tree of cgroup version 2; see cgroups(7)."""

from __future__ import annotations

from pathlib import PurePosixPath

from fleetwatch.collect.hosts._mounts import mount
from fleetwatch.collect.hosts._read import if_there, number, read
from fleetwatch.collect.runner import NoData


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
    trees = (mount(line) for line in mountinfo.splitlines() if b" - cgroup2 " in line)
    for tree in trees:
        root, point = (PurePosixPath(path.decode("utf-8", "surrogateescape")) for path in (tree.inner, tree.path))
        # Above the root of a namespace the kernel writes .., which leads nowhere in this tree.
        if ".." not in (*root.parts, *PurePosixPath(own).parts) and PurePosixPath(own).is_relative_to(root):
            return str(point), str(PurePosixPath(own).relative_to(root))
    return None


def counts(data: bytes) -> dict[str, int]:
    """A file with a name and a count in each line. Raises ValueError for a line that is not so."""
    pairs = (line.split() for line in data.splitlines())
    return {pair[0].decode("ascii", "replace"): number(b" ".join(pair[1:])) for pair in pairs if pair}
