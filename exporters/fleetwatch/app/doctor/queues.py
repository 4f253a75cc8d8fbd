"""The queues with EC2's events: do they answer, and does anybody read them? No message is taken."""

from __future__ import annotations

from collections.abc import Iterator

from fleetwatch.app.doctor.finding import Finding
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws
from fleetwatch.aws.together import each
from fleetwatch.collect.here import Here, SpotQueue

PATIENCE = 60.0


def ask(here: Here) -> Iterator[Finding]:
    """One finding for each queue of the settings; a note where there is none."""
    aws, spot = here.aws, here.spot
    if aws is None or spot is None:
        return
    if not spot.queues:
        fix = "Let EventBridge send EC2's events to a queue, and set spot.queues: see exporters/SPOT.md."
        yield Finding("spot", "queue", "note", "no queue: interruptions are seen when they are over", fix)
        return
    for queue, found in each(list(dict.fromkeys(spot.queues)), lambda queue: _waiting(aws, queue), PATIENCE).items():
        what = f"queue {queue.url.rpartition('/')[2]}"
        if isinstance(found, Trouble):
            yield Finding("spot", what, "trouble", found.why, found.fix, found.permission)
        elif isinstance(found, Exception):
            yield Finding("spot", what, "trouble", f"{type(found).__name__}: {found}", "Look at spot.queues.")
        else:
            yield Finding("spot", what, "ok", f"{found} messages wait")


def _waiting(aws: Aws, queue: SpotQueue) -> int:
    """Raises Trouble."""
    from fleetwatch.collect.spot._queue import API, target_of  # noqa: PLC0415 - only where there is a queue

    call = aws.caller(API, target_of(queue, aws), Calls("doctor"))
    asked = {"QueueUrl": queue.url, "AttributeNames": ["ApproximateNumberOfMessages"]}
    found = call("GetQueueAttributes", asked).get("Attributes") or {}
    return int(found.get("ApproximateNumberOfMessages", 0))
