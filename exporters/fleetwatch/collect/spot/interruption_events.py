"""Events of EC2's machines, which EventBridge puts into queues of SQS: warnings, rebalance recommendations, ends.

    spot_events_total{signal="warning"} 3
    spot_queue_messages{account="prod",region="us-east-1"} 0
    spot_events_rejected_total{reason="not_json"} 0

A message is deleted when its record is on disk, and not before: what a crash leaves comes again and counts once, by the
event's own id. A message that cannot be read is counted by its reason, and deleted. The queues have to be the
exporter's own: what others read and delete is never seen here.

SQS holds back its answer until there is a message, so a cycle lasts about as long as that. A queue that fails hurts
only itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from time import monotonic
from typing import NamedTuple

from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws
from fleetwatch.aws.together import each
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here, SpotQueue
from fleetwatch.collect.runner import NoData, source
from fleetwatch.collect.spot._ask import trouble_of
from fleetwatch.collect.spot._queue import DRAIN, WAIT, Queue, Read, name_of, target_of

PATIENCE = WAIT + DRAIN + 40
"""Seconds for all queues together: the last commit of a drain and its deletion come on top."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""Seconds for which a queue that failed is left alone, doubled each time: a refusal comes at once, cycles are fast."""


class _Pause(NamedTuple):
    """until: of the monotonic clock; trouble: what to say meanwhile."""

    until: float
    seconds: float
    trouble: Trouble


@source(interval=1, timeout=PATIENCE + 10)
class InterruptionEvents:
    def __init__(self, here: Here) -> None:
        self._here = here
        self._calls = Calls("interruption_events")
        self._queues: dict[SpotQueue, Queue] = {}
        self._hanging: set[SpotQueue] = set()
        self._pauses: dict[SpotQueue, _Pause] = {}

    def __call__(self) -> Iterator[Sample]:
        here = self._here
        if here.aws is None or here.spot is None or not here.spot.queues or here.commit is None:
            raise NoData
        aws, commit = here.aws, here.commit
        queues = list(dict.fromkeys(here.spot.queues))
        now = monotonic()
        due = [queue for queue in queues if queue not in self._pauses or self._pauses[queue].until <= now]
        answers = each(due, lambda queue: self._queue(aws, queue).read(commit), PATIENCE, self._hanging)
        troubles: list[Trouble] = [self._pauses[queue].trouble for queue in queues if queue not in answers]
        waiting: Counter[tuple[str, str]] = Counter()
        for queue, answer in answers.items():
            if not isinstance(answer, Read):
                troubles.append(self._pause(queue, trouble_of(answer, name_of(queue))))
                continue
            self._pauses.pop(queue, None)
            troubles += answer.troubles
            if answer.waiting is not None:
                waiting[answer.account, self._queues[queue].target.region] += answer.waiting
        for (account, region), messages in waiting.items():
            yield spot.QUEUE_MESSAGES(messages, account=account, region=region)
        for reason in spot.REJECT.one_of:
            rejected = sum(queue.rejected[reason] for queue in list(self._queues.values()))
            yield spot.EVENTS_REJECTED(rejected, reason=reason)
        yield from self._calls.samples()
        if troubles:
            raise incomplete(troubles)

    @property
    def actions(self) -> set[str]:
        """What IAM must have allowed for the requests that were made."""
        return self._calls.actions()

    def _pause(self, queue: SpotQueue, trouble: Trouble) -> Trouble:
        before = self._pauses.get(queue)
        seconds = FIRST_PAUSE if before is None else min(2 * before.seconds, LONGEST_PAUSE)
        self._pauses[queue] = _Pause(monotonic() + seconds, seconds, trouble)
        return trouble

    def _queue(self, aws: Aws, queue: SpotQueue) -> Queue:
        found = self._queues.get(queue)
        if found is None:
            target = target_of(queue, aws)
            found = self._queues[queue] = Queue(aws, queue, target, self._calls, self._here.clock)
        return found
