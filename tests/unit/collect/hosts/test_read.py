"""Files are read whole, numbers are what the kernel writes, and of many failures the first few are named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.hosts._read import count_of, decimal, each, number, of_host, read
from support_machines import collected


def test_a_file_of_any_size_is_read_whole(tmp_path: Path) -> None:
    """/proc/stat of a machine with hundreds of processors is longer than one answer of the kernel."""
    for size in (0, 1, 2**16 - 1, 2**16, 2**16 + 1, 300_000):
        (tmp_path / "file").write_bytes(b"x" * size)
        assert len(read(f"{tmp_path}/file")) == size


@pytest.mark.parametrize("word", [b"", b"-1", b"1.5", b"1_0", b"18446744073709551616", b"9" * 5000, "²".encode()])
def test_what_is_no_count_is_refused(word: bytes) -> None:
    with pytest.raises(ValueError, match="expected a count, got"):
        number(word)


@pytest.mark.parametrize("word", [b"", b".5", b"-1.0", b"nan", b"inf", b"1e3", b"1.", b"1.2.3"])
def test_what_is_no_decimal_number_is_refused(word: bytes) -> None:
    with pytest.raises(ValueError, match="expected a number, got"):
        decimal(word)


def test_a_count_is_found_by_the_whole_name_of_its_line() -> None:
    table = b"\nSwapCached: 7 kB\nCached:   12 kB\nLast: 3"
    assert count_of(table, b"Cached:") == 12
    assert count_of(table, b"Last:") == 3
    with pytest.raises(ValueError, match="has no Free:"):
        count_of(table, b"Free:")
    with pytest.raises(ValueError, match="expected 1 words"):
        count_of(b"\nEmpty:\n5 next", b"Empty:")


def test_a_thousand_failures_make_one_short_message() -> None:
    def samples_of(place: int) -> Iterator[Sample]:
        if place % 2:
            raise ValueError(f"number {place} is odd")
        yield hosts.LOAD_1M(place)

    found, failed = collected(each(range(1000), samples_of, "file"))
    assert len(found) == 500
    assert failed == "file: number 1 is odd; file: number 3 is odd; file: number 5 is odd and 497 more"


def test_the_host_s_own_view_is_that_of_its_first_process() -> None:
    assert of_host(Path("/proc"), "net/dev") == "/proc/self/net/dev"
    assert of_host(Path("/host/proc"), "net/dev") == "/host/proc/1/net/dev"
