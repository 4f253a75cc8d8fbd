"""The spool under any sequence of what may happen to it: the account is exact, the order kept, nothing good lost."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fleetwatch.spool import SIGNALS, Record, Spool

MIB = 1 << 20
SIZES = (9, 100, 3_000, 20_000, 70_000, 300_000)


class Machine(RuleBasedStateMachine):
    """`sent`: (signal, items, size) of each record, whose body begins with its number here."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="fleetwatch-spool-"))
        self.folders = (self.root / str(number) for number in itertools.count())
        self.folder = next(self.folders)
        self.spool = Spool(self.folder, MIB, "never")
        self.sent: list[tuple[int, int, int]] = []
        self.forwarded = 0
        self.last = -1
        self.taken: list[Record] = []
        self.damaged = self.filled = False

    def teardown(self) -> None:
        self.take(MIB)
        while self.taken:
            self.done(len(self.taken), 0)
            self.take(MIB)
        stats = self.spool.stats()
        assert stats.size == 0
        assert stats.oldest is None
        assert sum(stats.accepted.values()) == sum(stats.forwarded.values()) + sum(stats.dropped.values())
        reasons = {reason for (_, reason), items in stats.dropped.items() if items}
        assert reasons <= {"refused", *["damaged"] * self.damaged, *["spool_full"] * self.filled}
        self.spool.close()
        shutil.rmtree(self.root)

    @rule(signal=st.integers(0, 2), items=st.integers(1, 5), size=st.sampled_from(SIZES), times=st.integers(1, 6))
    def append(self, signal: int, items: int, size: int, times: int) -> None:
        for _ in range(times):
            body = (b"%09d" % len(self.sent)).ljust(size, b"x")
            self.spool.append(SIGNALS[signal], "identity", body, items)
            self.sent.append((signal, items, size))
        self.filled = self.filled or sum(size for _, _, size in self.sent) > MIB // 2

    @rule(most=st.sampled_from((1, 5_000, 100_000, MIB)))
    def take(self, most: int) -> None:
        self.taken = self.spool.take(most)
        for record in self.taken:
            number = int(record.body[:9])
            assert number > self.last, "in order, and none again that was settled"
            assert self.sent[number] == (record.signal, record.items, len(record.body))

    @precondition(lambda self: self.taken)
    @rule(number=st.integers(1, 5), rejected=st.integers(0, 2))
    def done(self, number: int, rejected: int) -> None:
        records, self.taken = self.taken[:number], self.taken[number:]
        rejected = min(rejected, sum(record.items for record in records))
        self.spool.done(records, rejected)
        self.forwarded += sum(record.items for record in records) - rejected
        self.last = int(records[-1].body[:9])

    @rule(limit=st.sampled_from((MIB, MIB, 2 * MIB, 16 * MIB)))
    def crash(self, limit: int) -> None:
        """What the files hold at this moment is what is there after kill -9."""
        copy = next(self.folders)
        shutil.copytree(self.folder, copy)
        self.spool.close()
        shutil.rmtree(self.folder)
        self.folder, self.taken = copy, []
        self.spool = Spool(copy, limit, "never")

    @precondition(lambda self: any(self.folder.glob("*.seg")))
    @rule(place=st.integers(0, 40), part=st.floats(0, 0.999), how=st.sampled_from(("flip", "cut", "zeros", "gone")))
    def damage(self, place: int, part: float, how: str) -> None:
        self.spool.close()
        self.damaged, self.taken = True, []
        segments = sorted(self.folder.glob("*.seg"))
        victim = segments[place % len(segments)]
        content = bytearray(victim.read_bytes())
        at = int(part * len(content))
        match how:
            case "flip" if content:
                content[at] ^= 1
            case "cut":
                del content[at:]
            case "zeros":
                content[at : at + 3_000] = bytes(len(content[at : at + 3_000]))
        victim.unlink()
        if how != "gone":
            victim.write_bytes(content)
        self.spool = Spool(self.folder, MIB, "never")

    @precondition(lambda self: any(self.folder.glob("*.seg")))
    @rule()
    def delete(self) -> None:
        """Somebody makes room by hand, while it runs."""
        self.damaged = True
        min(self.folder.glob("*.seg")).unlink()
        self.take(1)

    @invariant()
    def account(self) -> None:
        stats = self.spool.stats()
        assert sum(stats.accepted.values()) == sum(items for _, items, _ in self.sent)
        assert sum(stats.forwarded.values()) == self.forwarded
        assert min(stats.dropped.values()) >= 0


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
