"""The work of the demo's pipeline: from the lines of a trace of LLM calls to a report on them. Files in, files out."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from fleetwatch.demo.trace import BUNDLED

BLOCK: Final = 500
"""Lines of one block."""
LONG: Final = 4000
"""Tokens of a prompt from which it is a long one."""
PACKER: Final = """
import gzip, os, shutil, signal, sys
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
with open(sys.argv[1], "rb") as source, gzip.open(sys.argv[1] + ".gz", "wb") as packed:
    shutil.copyfileobj(source, packed)
"""
"""Program of the child process that packs the file of its first argument."""


class ChecksumError(Exception):
    """A block is not as it was written."""


class BusyError(Exception):
    """The model that comments on it has too much to do."""


class Row(NamedTuple):
    """One call. minute: of the day."""

    minute: int
    context: int
    generated: int


class Trend(NamedTuple):
    """Tokens a minute: `start` at the first minute of the day, `slope` more each minute; `off` is the mean error."""

    start: float
    slope: float
    off: float


def lines(share: float, dice: random.Random) -> list[str]:
    """A part of the bundled trace, with the scars that such files have: one line in 300 is not as it should be."""
    found = BUNDLED.read_text(encoding="utf-8").splitlines()[1:]
    found = found[: max(BLOCK, int(len(found) * share))]
    for number in dice.sample(range(len(found)), len(found) // 300):
        time, context, generated = found[number].split(",")
        found[number] = dice.choice(
            (f'{time}, "{context}", {generated} ', f"{time};{context};{generated}", f"{time},{context}", f"{time},-,-")
        )
    return found


def blocks(found: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(found), BLOCK):
        yield found[start : start + BLOCK]


def write(file: Path, block: Sequence[str]) -> None:
    """The block, and beside it what its checksum must be."""
    data = "\n".join(block).encode()
    file.write_bytes(data)
    file.with_suffix(".crc").write_text(f"{zlib.crc32(data):08x}")


def damage(file: Path) -> None:
    """What a bad disk does."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(data)


def verified(file: Path) -> list[str]:
    """The lines of a block. Raises ChecksumError."""
    data = file.read_bytes()
    if f"{zlib.crc32(data):08x}" != file.with_suffix(".crc").read_text():
        raise ChecksumError
    return data.decode().split("\n")


def parsed(line: str) -> tuple[Row, bool]:
    """The row, and whether the line had to be mended. Raises ValueError."""
    mended = line.replace(";", ",").replace('"', "").strip()
    time, context, generated = (field.strip() for field in mended.split(","))
    hours, minutes = time[11:16].split(":")
    return Row(int(hours) * 60 + int(minutes), int(context), int(generated)), mended != line


def by_minute(rows: Iterable[Row]) -> dict[int, int]:
    """Minute -> tokens."""
    found: dict[int, int] = {}
    for row in rows:
        found[row.minute] = found.get(row.minute, 0) + row.context + row.generated
    return found


def quantiles(rows: Iterable[Row]) -> dict[str, int]:
    """Of the tokens of a prompt."""
    ranked = sorted(row.context for row in rows)
    return {name: ranked[int(share * (len(ranked) - 1))] for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))}


def trend(minutes: dict[int, int]) -> Trend:
    """The line through them with the least squared errors."""
    n = len(minutes)
    x, y = sum(minutes) / n, sum(minutes.values()) / n
    width = sum((minute - x) ** 2 for minute in minutes)
    slope = sum((minute - x) * (tokens - y) for minute, tokens in minutes.items()) / width if width else 0.0
    start = y - slope * x
    off = sum(abs(start + slope * minute - tokens) for minute, tokens in minutes.items()) / n
    return Trend(start, slope, off)
