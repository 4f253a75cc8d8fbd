"""Network interfaces: bytes, packets, errors, drops, and whether they are up.

system_network_io_bytes_total{network_interface_name="eth0",network_io_direction="receive"} 2.0e8
system_network_up{network_interface_name="eth0"} 1

Format: /proc/net/dev in proc(5); operstate: RFC 2863 as in Documentation/networking/operstates.rst of the Linux kernel.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._read import each, name_of, number, of_host, parts, read, text, words
from fleetwatch.collect.runner import source

_HEADINGS = 2
_TRANSMIT = 8
"""Place of the first word about sending."""

# What the kernel answers where an interface goes between the table, the opening of its file and the read.
_GONE = {errno.ENOENT, errno.ENODEV, errno.EINVAL}

# Drivers without link detection (tunnels, dummies) say unknown while the interface runs, and down when it does not.
_UP = {"up", "unknown"}


@source(interval=15)
def network(here: Here) -> Iterator[Sample]:
    path = of_host(here.proc, "net/dev")

    def interface(line: bytes) -> Iterator[Sample]:
        # A large count follows the name without a space.
        raw, colon, counts = line.rpartition(b":")
        name = name_of(raw.strip())
        if not colon or not name:
            raise ValueError(f"expected NAME: counts, got {line[:40]!r}")
        if here.ignored_interfaces.fullmatch(name):
            return
        yield from parts(
            lambda: traffic(name, counts),
            lambda: state(name, f"{here.sys}/class/net/{name}/operstate"),
            where=f"{path}: {name}",
        )

    return each(read(path).splitlines()[_HEADINGS:], interface, path)


def traffic(name: str, counts: bytes) -> Iterator[Sample]:
    """What came and went. counts: the words that follow the interface's name."""
    row = words(counts, 2 * _TRANSMIT)
    for way, first in (("receive", 0), ("transmit", _TRANSMIT)):
        moved, packets, errors, dropped = map(number, row[first : first + 4])
        labels = {"network_interface_name": name, "network_io_direction": way}
        yield hosts.NETWORK_IO(moved, **labels)
        yield hosts.NETWORK_PACKETS(packets, **labels)
        yield hosts.NETWORK_ERRORS(errors, **labels)
        yield hosts.NETWORK_DROPPED(dropped, **labels)


def state(name: str, path: str) -> Iterator[Sample]:
    """Whether it is up; nothing for an interface that went away meanwhile, or where /sys shows another view."""
    try:
        found = text(path)
    except OSError as error:
        if error.errno in _GONE:
            return
        raise OSError(error.errno, error.strerror, path) from None
    yield hosts.NETWORK_UP(int(found in _UP), network_interface_name=name)
