"""A large request cut into requests of bounded size, on its bytes.

Two bytes of protobuf can stand for an empty span that takes 168 bytes once decoded, so 20 MB of body could take
1.7 GB. And a large body that is decoded and translated in one go keeps all other senders waiting. A request of any
signal is `repeated resource group = 1`, that is `resource = 1, repeated scope group = 2`, that is `scope = 1,
repeated item = 2`; so a cut between two items gives two requests, each with the resource and the scope.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleetwatch.receive.errors import BadRequest, TooLarge

WHOLE = 512 * 1024
"""Bytes up to which a request is left whole, and about the size of the parts of a larger one."""
LARGEST_ITEM = 2 << 20
MOST_ITEMS = 100_000

_GROUPS, _SCOPES, _ITEMS = 0x0A, 0x12, 0x12  # tags: field 1, 2 and 2, each with a length
_SIZES = {1: 8, 5: 4}  # wire types of fixed size


class _Budget:
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
    budget = _Budget()
    for tag, start, end in _fields(body, 0, len(body)):
        if tag == _GROUPS:
            budget.count()
            yield from _group(body, start, end, budget)


def _group(body: bytes, start: int, end: int, budget: _Budget) -> Iterator[bytes]:
    head, scopes = _head_and(body, start, end, _SCOPES, budget)
    for scope_start, scope_end in scopes:
        scope_head, items = _head_and(body, scope_start, scope_end, _ITEMS, budget)
        part: list[bytes] = [scope_head]
        size = len(scope_head)
        for item_start, item_end in items:
            if item_end - item_start > LARGEST_ITEM:
                raise TooLarge(f"one item is larger than {LARGEST_ITEM} bytes")
            part.append(_field(_ITEMS, body[item_start:item_end]))
            size += len(part[-1])
            if size > WHOLE:
                yield _request(head, part)
                part, size = [scope_head], len(scope_head)
        if len(part) > 1:
            yield _request(head, part)


def _request(head: bytes, scope: list[bytes]) -> bytes:
    return _field(_GROUPS, head + _field(_SCOPES, b"".join(scope)))


def _head_and(body: bytes, start: int, end: int, tag: int, budget: _Budget) -> tuple[bytes, list[tuple[int, int]]]:
    """The bytes of the fields that are not `tag`, and the places of those that are."""
    rest: list[bytes] = []
    places: list[tuple[int, int]] = []
    for found, inner_start, inner_end in _fields(body, start, end):
        if found == tag:
            budget.count()
            places.append((inner_start, inner_end))
        elif found & 7 == 2:
            rest.append(_field(found, body[inner_start:inner_end]))
    head = b"".join(rest)
    if len(head) > WHOLE:
        raise TooLarge(f"a resource or scope is larger than {WHOLE} bytes")
    return head, places


def _fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Tag, start and end of the content of each field. Raises BadRequest."""
    while at < end:
        tag = body[at]
        at += 1
        if tag & 0x80:
            tag, at = _varint(body, at - 1, end)
        wire = tag & 7
        if wire == 2:
            size = body[at] if at < end else 0x80
            if size & 0x80:
                size, at = _varint(body, at, end)
            else:
                at += 1
        elif wire == 0:
            begun = at
            at = _varint(body, at, end)[1]
            yield tag, begun, at
            continue
        elif wire in _SIZES:
            size = _SIZES[wire]
        else:
            raise _bad()
        if at + size > end:
            raise _bad()
        yield tag, at, at + size
        at += size


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _bad()


def _field(tag: int, content: bytes) -> bytes:
    return _as_varint(tag) + _as_varint(len(content)) + content


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bad() -> BadRequest:
    return BadRequest("the body is not a protobuf message of this signal")
