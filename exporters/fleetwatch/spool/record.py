"""A record in a segment file, and how to walk over a segment that may be damaged or cut off.

    magic 2 | signal 1 | encoding 1 | size 4 | items 4 | body's crc32 4 | time 8 | before 3 x 8 | head's crc32 4 | body

`before` is the number of items of each signal that were ever accepted before this record. So what a damaged stretch
has cost is known exactly, by signal, from the first good record after it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNALS = ("traces", "metrics", "logs")
ENCODINGS = ("identity", "gzip", "deflate", "json", "json+gzip", "json+deflate")
"""How a body was sent: protobuf or JSON, and its compression."""

Counts = tuple[int, int, int]
"""Items of each signal, in the order of SIGNALS."""

_MAGIC = b"FW"
_HEAD = struct.Struct("<2sBBIIId3Q")
_CHECK = struct.Struct("<I")
HEAD = _HEAD.size + _CHECK.size
"""Bytes before the body."""


class Position(NamedTuple):
    """A place between two records: number of the segment, and bytes from its start."""

    segment: int
    offset: int


class Head(NamedTuple):
    signal: int
    encoding: int
    size: int
    items: int
    checksum: int
    time: float
    before: Counts

    @property
    def after(self) -> Counts:
        """Items ever accepted, this record's among them."""
        return plus(self.before, self.signal, self.items)


class Record(NamedTuple):
    """What a sender was promised. encoding: one of ENCODINGS; time: Unix time of its acceptance; end: where it ends."""

    signal: int
    encoding: str
    body: bytes
    items: int
    time: float
    before: Counts
    end: Position

    @property
    def after(self) -> Counts:
        """Items ever accepted, this record's among them."""
        return plus(self.before, self.signal, self.items)


def plus(counts: Counts, signal: int, items: int) -> Counts:
    """`counts` with `items` more of one signal."""
    values = list(counts)
    values[signal] += items
    return values[0], values[1], values[2]


def minus(more: Counts, less: Counts) -> Counts:
    return more[0] - less[0], more[1] - less[1], more[2] - less[2]


def pack(signal: int, encoding: str, body: bytes, items: int, *, time: float, before: Counts) -> bytes:
    """The bytes of a record."""
    head = _HEAD.pack(_MAGIC, signal, ENCODINGS.index(encoding), len(body), items, zlib.crc32(body), time, *before)
    return b"".join((head, _CHECK.pack(zlib.crc32(head)), body))


def read_head(data: bytes) -> Head | None:
    """The head at the start of `data`; None where none stands, or not a whole one."""
    if len(data) < HEAD or data[:2] != _MAGIC:
        return None
    if _CHECK.unpack_from(data, _HEAD.size)[0] != zlib.crc32(data[: _HEAD.size]):
        return None
    _, signal, encoding, size, items, checksum, time, *before = _HEAD.unpack_from(data)
    if signal >= len(SIGNALS) or encoding >= len(ENCODINGS):
        return None
    return Head(signal, encoding, size, items, checksum, time, (before[0], before[1], before[2]))


def walk(file: int, segment: int, offset: int, size: int) -> Iterator[Record]:
    """The good records between `offset` and `size` of an open segment; what is damaged in between is passed over."""
    while offset < size:
        head = read_head(os.pread(file, HEAD, offset))
        end = offset + HEAD + head.size if head else size + 1
        if head is None or end > size:
            found = _next_head(file, offset + 1, size)
            if found is None:
                return
            offset = found
            continue
        body = os.pread(file, head.size, offset + HEAD)
        offset = end
        if len(body) == head.size and zlib.crc32(body) == head.checksum:
            yield Record(
                head.signal,
                ENCODINGS[head.encoding],
                body,
                head.items,
                head.time,
                head.before,
                Position(segment, end),
            )


def _next_head(file: int, offset: int, size: int) -> int | None:
    """Where the next good head stands. Damage is rare and a segment small: the rest is read at once."""
    rest = os.pread(file, size - offset, offset)
    at = rest.find(_MAGIC)
    while at >= 0:
        if read_head(rest[at : at + HEAD]) is not None:
            return offset + at
        at = rest.find(_MAGIC, at + 1)
    return None


def batch(file: int, position: Position, size: int, settled: Counts, most: tuple[int, int]) -> list[Record]:
    """The next good records of one signal that follow each other; one in JSON comes alone.

    settled: items before `position`; most: bytes and items, which one record alone may exceed.
    """
    records: list[Record] = []
    held = items = 0
    for record in walk(file, position.segment, position.offset, size):
        if min(minus(record.before, settled)) < 0:
            continue  # of a copied or older file: what it says has been accounted for
        held += len(record.body)
        items += record.items
        if records and (
            record.signal != records[0].signal
            or record.before != records[-1].after
            or record.encoding.startswith("json")
            or held > most[0]
            or items > most[1]
        ):
            break
        records.append(record)
        if record.encoding.startswith("json"):
            break
    return records
