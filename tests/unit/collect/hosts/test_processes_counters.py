"""Counters of groups never go back, whatever processes do between two looks."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.collect import Here, Incomplete, ProcessGroup
from fleetwatch.collect.hosts.processes import Processes
from support_processes import Machine, Values, values

RULES = tuple(ProcessGroup(name, program=re.compile(f"^{name}$")) for name in ("python", "postgres"))

NUMBERS = st.integers(10, 13)
COUNTS = st.integers(0, 500)
EVENTS = st.one_of(
    # number, name, start, what it has used since the last event of its number
    st.tuples(st.just("runs"), NUMBERS, st.sampled_from([b"python", b"postgres", b"bash"]), st.integers(1, 4), COUNTS),
    st.tuples(st.just("set back"), NUMBERS, st.sampled_from([b"python", b"bash"]), st.integers(1, 4), COUNTS),
    st.tuples(st.just("zombie"), NUMBERS, st.sampled_from([b"python", b"postgres"]), st.integers(1, 4), COUNTS),
    st.tuples(st.just("ends"), NUMBERS),
    st.tuples(st.just("spoiled"), NUMBERS),
    st.tuples(st.just("hides its traffic"), NUMBERS),
    st.tuples(st.just("look")),
)


class Life:
    """Plays events on a tree like /proc."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._used: dict[tuple[int, int], int] = {}

    def play(self, what: str, number: int, name: bytes = b"", start: int = 0, count: int = 0) -> None:
        folder = self._machine.proc / str(number)
        if what == "ends":
            if folder.exists():
                self._machine.ends(number)
        elif what == "spoiled":
            if folder.exists():
                (folder / "stat").write_bytes(b"nonsense")
        elif what == "hides its traffic":
            (folder / "io").unlink(missing_ok=True)
        else:
            key = number, start
            before = self._used.get(key, 0)
            total = self._used[key] = max(before - count, 0) if what == "set back" else before + count
            self._machine.process(
                number,
                name,
                state="Z" if what == "zombie" else "S",
                start=start * 50_000,
                user=total,
                system=total // 2,
                minor=total * 3,
                major=total // 7,
                moved=(total * 512, total * 100),
            )


def counters(source: Processes) -> Values:
    came = []
    try:
        for sample in source():
            came.append(sample)  # noqa: PERF402 - what came before a failure counts
    except Incomplete:
        pass
    return {key: value for key, value in values(came).items() if key[0].kind == "counter"}


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_no_counter_of_a_group_goes_back(events: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        life = Life(machine)
        source = Processes(Here(proc=machine.proc, process_groups=RULES))
        shown = counters(source)
        for event in [*events, ("look",)]:
            if event[0] != "look":
                life.play(*event)  # type: ignore[arg-type]  # as the strategy makes them
                continue
            found = counters(source)
            # Traffic that nobody may look at is not shown for a while.
            assert not {key: (shown[key], value) for key, value in found.items() if value < shown[key]}
            shown |= found
