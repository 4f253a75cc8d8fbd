"""The loopback AWS for all tests here, and moto for those that want another one."""

from __future__ import annotations

from support_aws import cloud
from support_moto import moto

__all__ = ["cloud", "moto"]
