"""Reading the kernel's files: bytes in, numbers out, and failures that hurt only what could not be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.runner import Incomplete

_CHUNK = 1 << 16
_LARGEST = 2**64 - 1
_ABSENT = {errno.ENOENT, errno.EOPNOTSUPP, errno.ENOTDIR}
_NAMED = 3
"""Failures that a message names; a machine with a thousand broken devices needs no longer one."""

T = TypeVar("T")


def read(path: str) -> bytes:
    """A whole file. Three times as fast as Path.read_bytes, and there are many."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = chunk = os.read(handle, _CHUNK)
        # The kernel may hand out less than there is: only an empty answer is the end.
        while chunk:
            chunk = os.read(handle, _CHUNK)
            data += chunk
        return data
    finally:
        os.close(handle)


def text(path: str) -> str:
    """A file of one short value, without the white space around it."""
    return read(path).decode("utf-8", "replace").strip()


def if_there(path: str) -> bytes | None:
    """A file, None where this kernel or this group does not have it. Raises OSError for other failures."""
    try:
        return read(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise OSError(error.errno, error.strerror, path) from None


def text_if_any(path: str) -> str:
    """The same as `text`; nothing where there is no such file or it is not ours to read."""
    try:
        return text(path)
    except OSError:
        return ""


def number(word: bytes) -> int:
    """A count as the kernel writes it. Raises ValueError for anything else."""
    value = int(word) if word.isdigit() and len(word) <= 20 else -1
    if not 0 <= value <= _LARGEST:
        raise ValueError(f"expected a count, got {_short(word)}")
    return value


def decimal(word: bytes) -> float:
    """A decimal number such as 0.42. Raises ValueError for anything else."""
    whole, dot, part = word.partition(b".")
    if not whole.isdigit() or (dot and not part.isdigit()) or len(whole) > 20:
        raise ValueError(f"expected a number, got {_short(word)}")
    return float(word)


def words(line: bytes, at_least: int) -> list[bytes]:
    """The words of a line. Raises ValueError where there are fewer than expected."""
    found = line.split()
    if len(found) < at_least:
        raise ValueError(f"expected {at_least} words, got {_short(line)}")
    return found


def count_of(data: bytes, name: bytes) -> int:
    """The count after a name that begins a line, such as 12 of `MemFree: 12 kB`. Raises ValueError without one.

    data: begins with a newline, as every line must have one before it. name: with the colon or space that ends it.
    Ten times as fast as splitting all lines where few of them matter.
    """
    place = data.find(b"\n" + name)
    if place < 0:
        raise ValueError(f"has no {name.decode()}")
    start = place + 1 + len(name)
    end = data.find(b"\n", start)
    return number(words(data[start:] if end < 0 else data[start:end], 1)[0])


def name_of(raw: bytes) -> str:
    """A name as a label may hold it: what is no UTF-8 is replaced."""
    return raw.decode("utf-8", "replace")


def each(things: Iterable[T], samples_of: Callable[[T], Iterable[Sample]], where: str = "") -> Iterator[Sample]:
    """The samples of all things. One that cannot be read hurts only itself; at the end, `Incomplete` names those.

    where: what the message begins with, for example the file whose lines the things are.
    """
    failures = []
    for thing in things:
        try:
            yield from samples_of(thing)
        except Incomplete as error:
            failures.append(str(error))
        except OSError as error:
            failures.append(f"{error.filename or where}: {error.strerror}")
        except (ValueError, LookupError) as error:
            failures.append(f"{where}: {error}" if where else str(error))
    if failures:
        more = f" and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
        raise Incomplete("; ".join(failures[:_NAMED]) + more)


def parts(*readers: Callable[[], Iterable[Sample]], where: str = "") -> Iterator[Sample]:
    """The samples of all readers; see `each`."""
    return each(readers, lambda reader: reader(), where)


def of_file(path: str, samples_of: Callable[[bytes], Iterable[Sample]]) -> Callable[[], Iterator[Sample]]:
    """A reader of one file, for `parts`; its failures name the file."""
    return lambda: each([path], lambda _: samples_of(read(path)), path)


def of_host(here_proc: Path, name: str) -> str:
    """A file of /proc that differs between the views of processes: the host's where a container looks at its host.

    /proc/net and /proc/mounts are links to the reader's own view; process 1 of the host has the host's.
    """
    return f"{here_proc}/{'self' if here_proc == Path('/proc') else '1'}/{name}"


def _short(raw: bytes) -> str:
    shown = raw[:40].decode("utf-8", "replace")
    return repr(shown + ("…" if len(raw) > 40 else ""))
