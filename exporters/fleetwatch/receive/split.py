"""A large request cut into requests of bounded size, on its bytes.

Two bytes of protobuf can stand for an empty span that takes 168 bytes once decoded, so 20 MB of body could take
1.7 GB. And a large body that is decoded and translated in one go keeps all other senders waiting. A request of any
signal is `repeated resource group = 1`, that is `resource = 1, repeated scope group = 2`, that is `scope = 1,
repeated item = 2`; so a cut between two items gives two requests, each with the resource and the scope.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleetwatch.receive.errors import TooLarge
from fleetwatch.receive.walk import fields
from fleetwatch.wire import field

WHOLE = 512 * 1024
"""Bytes up to which a request is left whole, and about the size of the parts of a larger one."""
LARGEST_ITEM = 2 << 20
LARGEST_HEAD = 128 * 1024
"""Largest resource or scope: it is repeated in each part."""
MOST_ITEMS = 100_000

_GROUPS, _SCOPES, _ITEMS = 0x0A, 0x12, 0x12  # tags: field 1, 2 and 2, each with a length


class Budget:
    """Counts what a request is made of. Raises TooLarge past the bound."""

    def __init__(self) -> None:
        self.items = 0

    def count(self) -> None:
        self.items += 1
        if self.items > MOST_ITEMS:
            raise TooLarge(f"more than {MOST_ITEMS} items in one request")


def split(body: bytes) -> Iterator[bytes]:
    """Requests that together say what `body` says. Raises BadRequest or TooLarge, perhaps after some parts."""
    if len(body) <= WHOLE:
        yield body
        return
    budget = Budget()
    part: list[bytes] = []  # groups
    fresh = 0  # bytes of the part that no earlier part had; repeated heads do not count, so parts stay few
    for tag, _, start, end in fields(body, 0, len(body)):
        if tag != _GROUPS:
            continue
        head, scopes = _group(body, start, end, budget)
        fresh += len(head)
        group = [head]
        for scope_start, scope_end in scopes:
            scope_head, runs = _scope(body, scope_start, scope_end, budget)
            fresh += len(scope_head)
            scope = [scope_head]
            for run_start, run_end in runs:
                scope.append(body[run_start:run_end])
                fresh += run_end - run_start
                if fresh > WHOLE:
                    group.append(_field(_SCOPES, scope))
                    part.append(_field(_GROUPS, group))
                    yield b"".join(part)
                    part, group, scope, fresh = [], [head], [scope_head], 0
            if len(scope) > 1:
                group.append(_field(_SCOPES, scope))
        if len(group) > 1:
            part.append(_field(_GROUPS, group))
    if part:
        yield b"".join(part)


def _group(body: bytes, start: int, end: int, budget: Budget) -> tuple[bytes, list[tuple[int, int]]]:
    """The resource and all else beside the scopes, as it stands; and the places of the scopes' contents."""
    rest: list[bytes] = []
    places: list[tuple[int, int]] = []
    budget.count()
    for tag, field_start, inner_start, inner_end in fields(body, start, end):
        if tag == _SCOPES:
            budget.count()
            places.append((inner_start, inner_end))
        else:
            rest.append(body[field_start:inner_end])
    return _head(rest), places


def _scope(body: bytes, start: int, end: int, budget: Budget) -> tuple[bytes, list[tuple[int, int]]]:
    """The scope and all else beside the items, as it stands; and the places of runs of whole items with their tags."""
    rest: list[bytes] = []
    runs: list[tuple[int, int]] = []
    run_start = run_end = start
    for tag, field_start, inner_start, inner_end in fields(body, start, end):
        if tag != _ITEMS:
            rest.append(body[field_start:inner_end])
            continue
        budget.count()
        if inner_end - inner_start > LARGEST_ITEM:
            raise TooLarge(f"one item is larger than {LARGEST_ITEM} bytes")
        if field_start != run_end or inner_end - run_start > WHOLE // 8:
            if run_end > run_start:
                runs.append((run_start, run_end))
            run_start = field_start
        run_end = inner_end
    if run_end > run_start:
        runs.append((run_start, run_end))
    return _head(rest), runs


def _head(parts: list[bytes]) -> bytes:
    head = b"".join(parts)
    if len(head) > LARGEST_HEAD:
        raise TooLarge(f"a resource or scope is larger than {LARGEST_HEAD} bytes")
    return head


def _field(tag: int, parts: list[bytes]) -> bytes:
    return field(tag >> 3, b"".join(parts))
