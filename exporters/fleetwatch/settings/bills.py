"""Providers' bills."""

# The types below are read while the program runs, so they are no strings: no `from __future__ import annotations`.

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from fleetwatch.settings.kinds import Seconds, Usd, why
from fleetwatch.settings.section import Section


class OpenaiBill(Section, frozen=True):
    key_file: Annotated[
        Path | None, why("File with an admin key that may read usage and costs; none: the bill is not read.")
    ] = None
    url: Annotated[str, why("Address of the interface.")] = "https://api.openai.com"
    lag: Annotated[Seconds, why("Time after the end of a UTC day that the provider is given to settle it.")] = 86400.0
    refresh: Annotated[Seconds, why("Time between two readings.")] = 3600.0
    providers: Annotated[
        list[str], why("Providers whose calls are on this bill, * and ? stand for other text; empty: `openai`.")
    ] = []


class AnthropicBill(Section, frozen=True):
    key_file: Annotated[Path | None, why("File with an admin key of the organisation; none: the bill is not read.")] = (
        None
    )
    url: Annotated[str, why("Address of the interface.")] = "https://api.anthropic.com"
    lag: Annotated[Seconds, why("Time after the end of a UTC day that the provider is given to settle it.")] = (
        6 * 3600.0
    )
    refresh: Annotated[Seconds, why("Time between two readings.")] = 3600.0
    providers: Annotated[list[str], why("Providers whose calls are on this bill; empty: `anthropic`.")] = []


class AwsBill(Section, frozen=True):
    """AWS Cost Explorer, with the permission ce:GetCostAndUsage; asked by what `aws` says of profile and patience."""

    enabled: Annotated[bool, why("Read the bill. Each reading costs 0.01 US dollars.")] = False
    role_arn: Annotated[
        str, why("Role to take on: an account that pays sees all of its bill, a member its own part.")
    ] = ""
    external_id: Annotated[str, why("As the role's trust policy asks for it.")] = ""
    lag: Annotated[Seconds, why("Time after the end of a UTC day that AWS is given to settle it.")] = 36 * 3600.0
    refresh: Annotated[
        Seconds, why("Time between two readings, also over restarts. AWS brings its figures up to date once a day.")
    ] = 6 * 3600.0
    providers: Annotated[list[str], why("Providers whose calls are on this bill; empty: `aws.*`.")] = []
    services: Annotated[
        list[str],
        why(
            "Services that are LLM calls, * and ? stand for other text; empty: `Amazon Bedrock` and "
            "`*(Amazon Bedrock Edition)`, as which models of other makers are billed."
        ),
    ] = []


class Bills(Section, frozen=True):
    """What the providers bill, held against what was metered. UTC days."""

    openai: OpenaiBill = OpenaiBill()
    anthropic: AnthropicBill = AnthropicBill()
    aws: AwsBill = AwsBill()
    days: Annotated[int, why("Closed days that are read each time: providers change past days.", ge=2, le=90)] = 31
    tolerance: Annotated[float, why("Share of the larger side by which billed and metered may differ.", ge=0, le=1)] = (
        0.05
    )
    least_usd: Annotated[Usd, why("Difference in US dollars that nobody minds.")] = Decimal(1)
