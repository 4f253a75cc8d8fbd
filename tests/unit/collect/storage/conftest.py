"""The loopback AWS with its storage, for all tests here."""

from __future__ import annotations

from support_ec2 import ec2
from support_storage import store

__all__ = ["ec2", "store"]
