"""Interfaces: counts, names, states, and those that come and go."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue import hosts
from fleetwatch.collect import Here
from fleetwatch.collect.hosts import network as module
from fleetwatch.collect.hosts.network import network, traffic
from support_machines import collected, machine, values


@contextmanager
def interface(name: str) -> Iterator[None]:
    """A real interface, one end of a pair or a queue, whichever this kernel can make; skips without the right to."""
    if os.geteuid() != 0:
        pytest.skip("only root may make an interface")
    for kind in (["dummy"], ["ifb"], ["veth", "peer", "name", f"{name}p"]):
        made = subprocess.run(["ip", "link", "add", name, "type", *kind], capture_output=True, text=True, check=False)
        if made.returncode == 0:
            break
    else:
        pytest.skip(f"no interface can be made here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)


def test_an_interface_comes_and_goes_with_the_next_cycle() -> None:
    name = f"fw{os.getpid() % 10**6}"
    assert (name,) not in values(network(Here()), hosts.NETWORK_UP)
    with interface(name):
        found, failed = collected(network(Here()))
        assert failed == ""
        assert values(found, hosts.NETWORK_UP)[name,] == 0
        assert values(found, hosts.NETWORK_IO)[name, "receive"] == 0
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        assert (name,) in values(network(Here()), hosts.NETWORK_UP)
    assert {interface for interface, _ in values(network(Here()), hosts.NETWORK_IO)}.isdisjoint({name})


def test_a_container_that_looks_at_its_host_sees_the_host_s_interfaces() -> None:
    """/proc/net is a link to the reader's own: the way leads through process 1."""
    found = values(network(machine("gpu-server")), hosts.NETWORK_IO)
    assert found["bond0", "receive"] == 9912208411223


def test_tunnels_without_link_detection_are_up() -> None:
    states = values(network(machine("gpu-server")), hosts.NETWORK_UP)
    assert states == {("bond0",): 1, ("eno1",): 1, ("eno2",): 0, ("wg0",): 1}


def test_an_interface_whose_state_is_gone_keeps_its_counts(tmp_path: Path) -> None:
    here = machine("gpu-server", tmp_path)
    (here.sys / "class/net/eno1/operstate").unlink()
    found, failed = collected(network(here))
    assert failed == ""
    assert ("eno1",) not in values(found, hosts.NETWORK_UP)
    assert ("eno1", "receive") in values(found, hosts.NETWORK_IO)


@pytest.mark.parametrize("code", [errno.ENODEV, errno.EINVAL, errno.ENOENT])
def test_an_interface_that_goes_while_it_is_looked_at_is_no_failure(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses the read where the file was opened before the interface went."""

    def gone(path: str) -> str:
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(module, "text", gone)
    found, failed = collected(network(machine("gpu-server")))
    assert failed == ""
    assert not values(found, hosts.NETWORK_UP)
    assert ("eno1", "receive") in values(found, hosts.NETWORK_IO)


ONE_A_CONTAINER = [
    "veth1a2b3c4", "cali12345678901", "lxc1234", "lxc_health", "eni0123456789a", "gke0123456789a", "azv0123456789a",
    "tap3f2a9c1b-7e", "vnet12", "docker0", "br-0123456789ab", "podman1", "lo",
]  # fmt: skip


@pytest.mark.parametrize("name", ONE_A_CONTAINER)
def test_interfaces_of_containers_are_left_out(name: str) -> None:
    assert Here().ignored_interfaces.fullmatch(name)


@pytest.mark.parametrize("name", ["eth0", "ens5", "eno1", "enp3s0", "enP2p1s0f0", "wg0", "tun0", "bond0", "ib0", "br0"])
def test_interfaces_of_the_machine_are_shown(name: str) -> None:
    assert not Here().ignored_interfaces.fullmatch(name)


def test_an_odd_line_hurts_only_its_own_interface(tmp_path: Path) -> None:
    here = machine("gpu-server", tmp_path)
    table = here.proc / "1/net/dev"
    table.write_text(table.read_text().replace("  eno2:", "  eno2:x") + "nonsense\n")
    found, failed = collected(network(here))
    assert {name for name, _ in values(found, hosts.NETWORK_IO)} == {"bond0", "eno1", "wg0"}
    assert (
        failed
        == f"{table}: eno2: expected a count, got 'x4956104205612'; {table}: expected NAME: counts, got b'nonsense'"
    )
    # The state stands in another file.
    assert ("eno2",) in values(found, hosts.NETWORK_UP)


COUNTS = st.lists(st.integers(-1, 2**65), min_size=14, max_size=18)


@given(COUNTS)
def test_counts_are_whole_or_refused(row: list[int]) -> None:
    looked_at = row[:4] + row[8:12]
    counts = " ".join(map(str, row)).encode()
    if len(row) >= 16 and all(0 <= count < 2**64 for count in looked_at):
        assert [sample.value for sample in traffic("eth0", counts)] == looked_at
    else:
        with pytest.raises(ValueError, match="expected"):
            list(traffic("eth0", counts))
