"""The units that boards speak. A panel names one of these and no other."""

from __future__ import annotations

from typing import NamedTuple


class Unit(NamedTuple):
    """A Grafana unit id and the decimals shown; None lets Grafana choose by the value's size."""

    id: str
    decimals: int | None = None


USD = Unit("prefix:$", 2)  # `currencyUSD` would shorten 1234.56 to 1.23K: a bill is read to the cent
USD_ANY = Unit("prefix:$")  # as many decimals as the size asks for: large and tiny amounts side by side
USD_SMALL = Unit("prefix:$", 5)  # one call or a thousand tokens cost fractions of a cent
USD_SIGNED = Unit("currencyUSD", 2)  # with the sign before the $; shortens thousands
USD_PER_HOUR = Unit("count:USD/h")  # count: shortens thousands and adds the words
COUNT = Unit("locale", 0)
PER_SECOND = Unit("count:/s")
PER_HOUR = Unit("count:/h")
TOKENS_PER_SECOND = Unit("count:tok/s", 1)
SHARE = Unit("percentunit", 1)
SECONDS = Unit("s")
DAYS = Unit("s", 1)  # 4.5 days
DURATION = Unit("dtdurations", 1)  # 3 days, 4 hours
BYTES = Unit("bytes")
BYTES_PER_SECOND = Unit("binBps")
CPUS = Unit("count:CPU", 2)  # processors in use; one that works all the time is 1
CELSIUS = Unit("celsius", 0)
WATTS = Unit("watt", 0)
HERTZ = Unit("hertz")
TIMES = Unit("suffix:x", 1)
TIMES_EXACT = Unit("suffix:x", 2)
SCORE = Unit("none", 2)  # of an evaluation, mostly from 0 to 1
FROM_NOW = Unit("dateTimeFromNow")  # of Unix milliseconds: in 9 days
CLOCK = Unit("dateTimeAsIso")  # of Unix milliseconds: the day and the time
PLAIN = Unit("none")
WORDS = Unit("string")  # no number, even where it looks like one: 570.86 is a version
