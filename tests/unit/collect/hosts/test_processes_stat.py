"""The line of /proc/PID/stat: a name of any bytes never moves the fields behind it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.collect.hosts._stat import parse, program

COUNT = st.integers(0, 2**63 - 1)


@given(
    name=st.binary(max_size=64),
    state=st.sampled_from([b"R", b"S", b"D", b"Z", b"T", b"t", b"I", b"P", b"X"]),
    fields=st.lists(COUNT, min_size=21, max_size=60),
)
def test_any_name_and_any_numbers_come_back(name: bytes, state: bytes, fields: list[int]) -> None:
    stat = parse(b"42 (%s) %s %s\n" % (name, state, b" ".join(b"%d" % field for field in fields)))
    assert (stat.name, stat.state) == (name, state)
    flags, minor, major, user, system, threads = (fields[place] for place in (5, 6, 8, 10, 11, 16))
    assert (stat.flags, stat.minor, stat.major) == (flags, minor, major)
    assert (stat.user, stat.system, stat.threads) == (user, system, threads)
    assert (stat.start, stat.virtual, stat.resident) == tuple(fields[18:21])


@given(st.binary(max_size=200))
def test_anything_else_is_refused_and_nothing_breaks(line: bytes) -> None:
    try:
        parse(line)
    except ValueError:
        return
    assert line.count(b" ") >= 21


@given(st.binary(max_size=300))
def test_a_name_is_bounded_text(name: bytes) -> None:
    shown = program(name)
    assert len(shown) <= 64
    shown.encode("utf-8")


def test_a_line_cut_short_is_refused() -> None:
    line = Path("/proc/self/stat").read_bytes()
    with pytest.raises(ValueError, match="expected number"):
        parse(line[:60])


def test_the_own_line_says_what_psutil_says() -> None:
    stat = parse(Path("/proc/self/stat").read_bytes())
    own = psutil.Process()
    assert program(stat.name) == own.name()[:15]
    assert stat.threads == own.num_threads()
    assert stat.start / os.sysconf("SC_CLK_TCK") == pytest.approx(own.create_time() - psutil.boot_time(), abs=1.5)
