"""The loopback AWS for all tests here."""

from __future__ import annotations

from support_aws import cloud

__all__ = ["cloud"]
