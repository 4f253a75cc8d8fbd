"""The table of mounts: what lies where, and each device once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.collect.hosts._mounts import Mount, mount, shown


def line(number: int, device: str, inner: str, path: str, kind: str = "ext4") -> Mount:
    return mount(f"{number} 1 {device} {inner} {path} rw,relatime shared:1 - {kind} /dev/x rw".encode())


def paths(*mounts: Mount) -> list[bytes]:
    return [item.path for item in shown(mounts, lambda _: False)]


def test_a_line_is_read_with_or_without_optional_words() -> None:
    bare = mount(b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard")
    assert bare == Mount(b"27", b"254:0", b"/", b"/", "ext4", read_only=False)
    assert mount(b"27 1 254:0 / / rw,relatime shared:1 master:2 propagate_from:3 - ext4 /dev/vda rw,discard") == bare


@pytest.mark.parametrize(
    ("of_mount", "of_device", "is_so"), [("ro", "rw", False), ("rw", "ro", True), ("ro", "ro", True)]
)
def test_a_file_system_is_read_only_and_not_its_mount(of_mount: str, of_device: str, is_so: bool) -> None:
    """A service that systemd confines sees each mount read-only, and must not report so."""
    line = f"1 1 8:1 / /a {of_mount},relatime - ext4 /dev/x {of_device},errors=remount-ro"
    assert mount(line.encode()).read_only is is_so


@given(st.binary(min_size=1, max_size=30).filter(lambda path: b"\0" not in path))
def test_a_path_is_read_as_the_kernel_writes_it(path: bytes) -> None:
    written = b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes([byte]) for byte in path)
    assert mount(b"1 1 8:1 / /%b rw - ext4 x rw" % written).path == b"/" + path


@given(st.binary(max_size=80).filter(lambda content: b" - " not in content))
def test_a_line_without_a_dash_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="expected a line of mountinfo"):
        mount(content)


def test_all_of_a_device_comes_before_a_part_and_a_short_path_before_a_long_one() -> None:
    assert paths(line(1, "8:1", "/", "/data/sets"), line(2, "8:1", "/x", "/x")) == [b"/data/sets"]
    assert paths(line(1, "8:1", "/@home", "/home"), line(2, "8:1", "/@", "/")) == [b"/"]
    assert paths(line(1, "8:1", "/", "/bb"), line(2, "8:1", "/", "/a"), line(3, "8:2", "/", "/c")) == [b"/a", b"/c"]


def test_what_is_covered_at_the_same_place_is_not_looked_at() -> None:
    found = shown([line(1, "8:1", "/", "/a"), line(2, "0:9", "/", "/a", "tmpfs")], lambda _: False)
    assert [item.kind for item in found] == ["tmpfs"]


def test_this_machine_s_table_is_read_whole() -> None:
    content = Path("/proc/self/mountinfo").read_bytes().splitlines()
    assert len([mount(row) for row in content]) == len(content)
    assert {item.path for item in map(mount, content)} >= {b"/", os.fsencode("/proc")}
