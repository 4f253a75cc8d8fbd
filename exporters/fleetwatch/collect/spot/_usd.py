"""Prices as AWS writes them: decimal text, US dollars."""

from __future__ import annotations

import re
from decimal import Decimal

from fleetwatch.catalogue.metric import NANO

_PRICE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,20})?", re.ASCII)


def nano_usd(text: object, example: str = "0.0412") -> int:
    """The price as an exact count of nano-USD, 0 among them.

    Raises ValueError for what is no such text, and for one that is finer than a nano-USD: what AWS did not say is
    never 0, and nothing is rounded.
    """
    if not isinstance(text, str) or not _PRICE.fullmatch(text):
        raise ValueError(f'expected US dollars such as "{example}", got {text!r:.60}')
    nano = Decimal(text) * NANO
    if nano != int(nano):
        raise ValueError(f"expected US dollars with at most nine decimals, got {text!r:.60}")
    return int(nano)
