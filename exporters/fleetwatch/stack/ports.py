"""Addresses: is one free, who holds it, which one is free."""

from __future__ import annotations

import socket

import psutil


def split(address: str) -> tuple[str, int]:
    """`127.0.0.1:9090` as host and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def local(address: str) -> str:
    """The address as this machine reaches it: a program that listens everywhere is asked on loopback."""
    host, port = split(address)
    return f"127.0.0.1:{port}" if host in ("", "0.0.0.0", "::") else address  # noqa: S104 - compared, not bound


def is_free(address: str) -> bool:
    """Whether a program could listen there now."""
    host, port = split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port in TIME_WAIT counts as free, one with a listener does not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free(host: str) -> str:
    """An address with a port that was free a moment ago."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return f"{host}:{probe.getsockname()[1]}"


def free_near(address: str) -> str:
    """The address itself when it is free, else another port of the host."""
    return address if is_free(address) else free(split(address)[0])


def holder(address: str) -> str:
    """Who listens on the port: `prometheus (pid 812)`; without the right to see it `a program of another user`."""
    port = split(address)[1]
    try:
        found = [item for item in psutil.net_connections("tcp") if item.laddr and item.laddr.port == port]
    except psutil.AccessDenied:
        found = []
    for item in found:
        if item.status == psutil.CONN_LISTEN and item.pid:
            try:
                return f"{psutil.Process(item.pid).name()} (pid {item.pid})"
            except psutil.Error:
                return f"pid {item.pid}"
    return "a program of another user"
