"""What tests of exactness need: records cut into commits, and files as a process that dies leaves them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from fleetwatch.ledger.counts import Counts


def groups(draw: st.DataObject, records: Sequence[Any]) -> list[list[Any]]:
    """The records cut into commits."""
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(records)), max_size=6)))
    return [list(records[start:end]) for start, end in zip([0, *cuts], [*cuts, len(records)], strict=True)]


class Deaths:
    """Copies of a ledger's file, one for each moment at which its process might have died."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.copies: list[Path] = []

    def copy(self) -> None:
        """It dies now."""
        folder = self._path.parent / f"copy{len(self.copies)}"
        folder.mkdir()
        for file in (self._path, Path(f"{self._path}-wal")):
            shutil.copy(file, folder / file.name)
        self.copies.append(folder / self._path.name)

    @contextlib.contextmanager
    def around_counts(self) -> Iterator[None]:
        """It dies before and after every write of counts, which is in every transaction."""
        write = Counts.write

        def dying(counts: Counts) -> None:
            self.copy()
            write(counts)
            self.copy()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Counts, "write", dying)
            yield
