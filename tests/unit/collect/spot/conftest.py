"""The loopback AWS for all tests here."""

from __future__ import annotations

from support_ec2 import ec2

__all__ = ["ec2"]
