"""Who holds a port, and which one is free."""

from __future__ import annotations

import os
import socket

import psutil

from fleetwatch.stack import ports


def test_the_holder_of_a_port_is_named_with_its_pid() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert not ports.is_free(address)
        assert ports.holder(address) == f"{psutil.Process().name()} (pid {os.getpid()})"
    assert ports.is_free(address)


def test_a_taken_port_moves_and_a_free_one_stays() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        moved = ports.free_near(taken)
        assert moved != taken
        assert moved.startswith("127.0.0.1:")
    assert ports.free_near(taken) == taken


def test_a_listener_on_every_address_is_reached_on_loopback() -> None:
    assert ports.local("0.0.0.0:9464") == "127.0.0.1:9464"
    assert ports.local("[::]:9464") == "127.0.0.1:9464" or ports.local("[::]:9464") == "[::]:9464"
    assert ports.local("10.0.0.5:9464") == "10.0.0.5:9464"
    assert ports.split("[::1]:9464") == ("::1", 9464)
