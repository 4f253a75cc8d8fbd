"""The price book of the settings."""

from __future__ import annotations

from msgspec import structs

from fleetwatch.reckon.price import Override, PriceBook
from fleetwatch.settings import Settings, SettingsError


def price_book(settings: Settings) -> PriceBook:
    """List prices with the settings' contract prices. Raises SettingsError for contract prices that cannot be meant."""
    overrides = [Override(**structs.asdict(item)) for item in settings.prices.overrides]
    try:
        return PriceBook(overrides, settings.prices.models)
    except ValueError as error:
        raise SettingsError(str(error)) from None
