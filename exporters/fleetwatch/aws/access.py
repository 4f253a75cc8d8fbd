"""What the settings say of AWS: accounts, regions, patience."""

from __future__ import annotations

from typing import NamedTuple


class Account(NamedTuple):
    """An account that is looked into.

    name: what it is called in series; empty for the own one, whose series carry its number.
    role_arn: a role to take on there; empty: the own identity. external_id: as that role's trust policy asks for it.
    """

    name: str = ""
    role_arn: str = ""
    external_id: str = ""


class Access(NamedTuple):
    """How to reach AWS. timeout: seconds for an answer; attempts: of one request, the first among them."""

    regions: tuple[str, ...] = ()
    """Empty: the one region of the environment or the profile."""
    accounts: tuple[Account, ...] = (Account(),)
    profile: str = ""
    endpoint_url: str = ""
    """Instead of AWS's own addresses, for private endpoints and tests."""
    connect_timeout: float = 5.0
    timeout: float = 20.0
    attempts: int = 3


class Target(NamedTuple):
    """One region of one account."""

    account: Account
    region: str

    def __str__(self) -> str:
        return f"{self.account.name}/{self.region}" if self.account.name else self.region
