"""OpenLineage over HTTP: one event, or a list of them, as JSON.

The specification knows one answer, 200 (spec/OpenLineage.yml). Its clients drop what is answered with 4xx, come again
after 500, 502, 503 and 504, and read no body. So of a list the good events are kept and the bad ones are told in the
answer and in a metric: a list that was refused for one of them would be lost as a whole.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from fleetwatch.dialects import Translation
from fleetwatch.dialects.openlineage import translate_lineage
from fleetwatch.receive.errors import BadRequest, Broken, TooLarge
from fleetwatch.receive.unpack import json_value

log = logging.getLogger(__name__)

SIGNAL: Final = "lineage"
"""In the receiver's own metrics."""
MOST_EVENTS: Final = 10_000
"""Of one request."""
_TOLD: Final = 20
"""Refused events that the answer names."""


class Events(NamedTuple):
    """What a body held; why: of those that were refused, by their place."""

    number: int
    translation: Translation
    why: dict[int, str]

    def answer(self) -> bytes:
        """Empty where all is well."""
        if not self.why:
            return b"{}"
        refused = [{"event": place, "message": why} for place, why in list(self.why.items())[:_TOLD]]
        return json.dumps(
            {"accepted": self.number - len(self.why), "rejected": len(self.why), "errors": refused}
        ).encode()


def read(body: bytes) -> Events:
    """Raises BadRequest for what is no event and no list of which one is good, TooLarge past the bounds."""
    events = _events(body)
    try:
        translation, why = translate_lineage(events)
    except Exception as error:
        log.exception("events of OpenLineage could not be translated")
        raise Broken("the events could not be translated") from error
    if why and len(why) == len(events):
        raise BadRequest(next(iter(why.values())))
    return Events(len(events), translation, why)


def _events(body: bytes) -> Sequence[object]:
    try:
        value = json_value(body)
    except TooLarge:
        raise
    # Hostile JSON makes the reader fail in many ways, one of them for want of stack; each says the same of the body.
    except Exception:
        raise BadRequest("the body is not JSON") from None
    events = value if isinstance(value, list) else [value]
    if len(events) > MOST_EVENTS:
        raise TooLarge(f"more than {MOST_EVENTS} events in one request")
    return events
