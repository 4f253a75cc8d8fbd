"""The loopback AWS for all tests here, and moto for those that want another one."""

from __future__ import annotations

from support_ec2 import ec2
from support_moto import moto

__all__ = ["ec2", "moto"]
