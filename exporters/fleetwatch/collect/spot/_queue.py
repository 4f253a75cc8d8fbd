"""One queue of SQS: what waits in it becomes records on disk, and only then is deleted."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws, Call
from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect.here import Commit, CommitError, SpotQueue
from fleetwatch.collect.spot._events import Rejected, parse
from fleetwatch.records.spot import SpotSignal

log = logging.getLogger(__name__)

API: Final = "sqs"
AT_ONCE: Final = 10
"""Messages of one answer; SQS gives no more."""
WAIT: Final = 10.0
"""Seconds that SQS holds an answer back until there is a message: fewer requests, and no message waits for a cycle."""
HIDDEN: Final = 120
"""Seconds for which SQS gives a message to nobody else: longer than a commit may take."""
DELETIONS: Final = 3
"""Attempts to delete a message; one that stays comes again, and changes nothing."""
DRAIN: Final = 30.0
"""Seconds for which a backlog is read in one cycle, some 10,000 messages; the next cycle goes on."""
NAMES_AGAIN: Final = 600.0
"""Seconds until the numbers of the accounts are asked for again, where one is not known."""


class Read(NamedTuple):
    """What a cycle found in one queue."""

    account: str
    waiting: int | None
    """Messages that were still there; None where SQS does not tell."""
    troubles: list[Trouble]
    """Of parts; what could be read was read."""


class Queue:
    """All of it is called in one thread at a time. clock: Unix seconds."""

    def __init__(self, aws: Aws, queue: SpotQueue, target: Target, calls: Calls, clock: Callable[[], float]) -> None:
        self.target = target
        self._aws = aws
        self._url = queue.url
        self._calls = calls
        self._call: Call = aws.caller(API, target, calls)
        self._clock = clock
        self._account = ""
        self._names: dict[str, str] = {}
        self._named_at = float("-inf")
        self.rejected: Counter[str] = Counter()
        """Messages that were none of ours, by reason."""

    def read(self, commit: Commit) -> Read:
        """Wait for messages, then take all that are there. Raises Trouble where nothing could be read."""
        if not self._account:
            self._account = self.target.account.name or self._aws.number(self.target, self._calls)
        # The answer has to come before the client gives up.
        wait = int(max(min(WAIT, self._aws.timeout - 5), 0))
        until = time.monotonic() + wait + DRAIN
        troubles: list[Trouble] = []
        while time.monotonic() < until:
            messages = self._receive(wait)
            if not messages:
                break
            # Without any, SQS looks into some of its servers alone, and may tell of nothing though there is something.
            wait = min(wait, 1)
            try:
                troubles += self._take(messages, commit)
            except CommitError as error:
                why = f"{self._place}: messages stay in the queue: {error}"
                troubles.append(Trouble("error", why, "Look at the ledger."))
                break
        try:
            return Read(self._account, self._waiting(), troubles)
        except Trouble as trouble:
            return Read(self._account, None, [*troubles, trouble])

    @property
    def _place(self) -> str:
        return f"{name_of_url(self._url)} in {self.target}"

    def _receive(self, wait: int) -> list[dict[str, Any]]:
        parameters = {
            "QueueUrl": self._url,
            "MaxNumberOfMessages": AT_ONCE,
            "WaitTimeSeconds": wait,
            "VisibilityTimeout": HIDDEN,
        }
        return self._call("ReceiveMessage", parameters).get("Messages") or []

    def _take(self, messages: Sequence[Mapping[str, Any]], commit: Commit) -> list[Trouble]:
        """Commit what they tell, then delete them. Raises CommitError, and Trouble where none could be deleted."""
        now = round(self._clock() * NANO)
        signals: list[SpotSignal] = []
        for message in messages:
            try:
                signals += parse(str(message.get("Body", "")), now)
            except Rejected as error:
                self._reject(error.reason)
        if signals:
            commit([self._named(signal) for signal in signals])
        return self._delete([str(message["ReceiptHandle"]) for message in messages])

    def _named(self, signal: SpotSignal) -> SpotSignal:
        """With account and region as in series; what the message does not tell is the queue's."""
        account = self._name_of(signal.account) if signal.account else self._account
        return signal._replace(account=account, region=signal.region or self.target.region)

    def _name_of(self, number: str) -> str:
        """The settings' name of an account; of one that they do not name its number."""
        if number not in self._names and self._clock() - self._named_at > NAMES_AGAIN:
            self._named_at = self._clock()
            for account in self._aws.accounts:
                if account.name:
                    try:
                        found = self._aws.number(Target(account, self.target.region), self._calls)
                    except Trouble:
                        continue
                    self._names[found] = account.name
        return self._names.get(number, number)

    def _delete(self, handles: Sequence[str]) -> list[Trouble]:
        left = list(handles)
        said = ""
        for _ in range(DELETIONS):
            entries = [{"Id": str(place), "ReceiptHandle": handle} for place, handle in enumerate(left)]
            answer = self._call("DeleteMessageBatch", {"QueueUrl": self._url, "Entries": entries})
            failed = answer.get("Failed") or []
            said = next((f"{item.get('Code', '')}" for item in failed), "")
            # One that is our fault fails again: its time was over, and it comes with a new handle.
            again = [item for item in failed if not item.get("SenderFault")]
            left = [left[int(item["Id"])] for item in again]
            if not left:
                break
        if not said:
            return []
        why = f"sqs:DeleteMessage of {self._place}: messages could not be deleted: {said[:100]}"
        return [Trouble("error", why, "They come again and count once; if it lasts, look at the queue.")]

    def _waiting(self) -> int:
        asked = {"QueueUrl": self._url, "AttributeNames": ["ApproximateNumberOfMessages"]}
        found = self._call("GetQueueAttributes", asked).get("Attributes") or {}
        return int(found.get("ApproximateNumberOfMessages", 0))

    def _reject(self, reason: str) -> None:
        """Said once for each reason, and without the text: it may hold anything."""
        self.rejected[reason] += 1
        if self.rejected[reason] == 1:
            log.warning("%s: a message is deleted unread: %s; later ones are only counted", self._place, reason)


def name_of(queue: SpotQueue) -> str:
    """What a queue is called in messages, without the account's number that its address has."""
    where = queue.region or _region_of(queue.url)
    return f"the queue {name_of_url(queue.url)}" + (f" in {where}" if where else "")


def name_of_url(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def target_of(queue: SpotQueue, aws: Aws) -> Target:
    """Where a queue is. Raises Trouble for one whose account or region nobody tells."""
    accounts = aws.accounts
    found = next((item for item in accounts if item.name == queue.account), None) if queue.account else accounts[0]
    if found is None:
        why = f'spot.queues: expected the name of one of aws.accounts, got "{queue.account}"'
        raise Trouble("error", why, "Name one of aws.accounts.")
    region = queue.region or _region_of(queue.url)
    if not region:
        raise Trouble(
            "region", f"spot.queues: no region is in the address of {name_of(queue)}", "Set the queue's region."
        )
    return Target(found, region)


def _region_of(url: str) -> str:
    """Of `https://sqs.eu-west-1.amazonaws.com/…` and of the older `https://eu-west-1.queue.amazonaws.com/…`."""
    parts = (urlsplit(url).hostname or "").split(".")
    if len(parts) > 3 and parts[0] == "sqs":
        return parts[1]
    return parts[0] if parts[1:2] == ["queue"] else ""
