"""One receiver for all tests of a file, empty for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support_receive import Receiver


@pytest.fixture(scope="module")
def shared() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared: Receiver) -> Receiver:
    for kept in (shared.records, shared.requests, shared.rejections, shared.failures, shared.skews):
        kept.clear()
    shared.seen = 0
    return shared
