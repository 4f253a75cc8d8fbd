"""A ledger of machines for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support_spot_ledger import Told


@pytest.fixture
def told(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Told]:
    """param: days that rows are kept."""
    opened = Told(tmp_path, getattr(request, "param", 400))
    yield opened
    opened.ledger.close()
