"""AWS on loopback for machines of EC2: several accounts and regions, prices over time, interruptions, and failures.

What moto lacks or gets wrong is answered here (support_ec2_answers), in wire shapes that are checked with the service
models of AWS's SDK; all other operations are moto's, which is loaded with the first of them. moto's own machines are
not told by DescribeInstances here: machines are made by `run`.
"""

from __future__ import annotations

import json
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import botocore.session
import pytest

from fleetwatch.aws import Access, Account
from fleetwatch.aws.budget import Budget
from fleetwatch.aws.session import Aws
from support_aws import NOW, own_identity
from support_ec2_door import Asked, Handler, forget_moto_s
from support_ec2_machines import TAKEN, Machine, Request, when, zone_id

OWN = "111122223333"
REGION = "us-east-1"
HUNG = 30.0
"""Seconds after which a request that hangs is given up, at most."""


class Figure(NamedTuple):
    """One figure of Capacity Manager."""

    at: float
    dimensions: Mapping[str, str]
    metric: str
    value: float


class _Refusal:
    def __init__(self, kind: str, action: str, account: str, region: str, times: int | None) -> None:
        self.kind, self.times = kind, times
        self._of = (action, account, region)

    def takes(self, asked: Asked) -> bool:
        given = (asked.action, asked.account, asked.region)
        return self.times != 0 and all(mine in {"*", its} for mine, its in zip(self._of, given, strict=True))


class Ec2(ThreadingHTTPServer):
    """now: its clock, moved by tests. page: rows on a page, at most; None: as many as were asked for."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, now: float = NOW) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.now = now
        self.page: int | None = None
        self.machines: dict[str, Machine] = {}
        self.requests: dict[str, Request] = {}
        self.prices: dict[tuple[str, str, str, str, str], list[tuple[float, float]]] = {}
        """(account or *, region, zone, type, product) -> (from when on, USD per hour)."""
        self.list_prices: dict[tuple[str, str, str], float] = {}
        self.scores: dict[tuple[str, str], int] = {}
        self.offered: set[str] | None = None
        """Types that there are; None: all of AWS's."""
        self.managed: list[Figure] = []
        self.load: dict[str, float] = {}
        """Machine -> processor use in percent."""
        self.identities = {"own-key": OWN}
        self.tokens: dict[str, int] = {}
        self.asked: list[Asked] = []
        self.wrong: list[str] = []
        """What was asked or answered against the models; the fixture looks that there is nothing."""
        self.queues: dict[tuple[str, str], list[str]] = {}
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._refusals: list[_Refusal] = []
        self._released = threading.Event()
        self._number = 0
        self._guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def aws(
        self,
        regions: Sequence[str] = (REGION,),
        accounts: Sequence[Account] = (Account(),),
        *,
        attempts: int = 1,
        timeout: float = 20.0,
        budget: Budget | None = None,
    ) -> Aws:
        """The way here, by this clock. budget: usually one whose waits take no time."""
        access = Access(tuple(regions), tuple(accounts), endpoint_url=self.url, attempts=attempts, timeout=timeout)
        return Aws(access, clock=lambda: self.now, budget=budget or Budget(sleep=lambda _: None))

    def client(self, service: str, region: str = REGION, account: str = OWN) -> Any:
        """A client of the SDK, to make things that are moto's."""
        found = self._clients.get((service, region, account))
        if found is None:
            key = next((key for key, its in self.identities.items() if its == account), f"key-of-{account}")
            self.identities[key] = account
            found = _session().create_client(
                service, region_name=region, endpoint_url=self.url, aws_access_key_id=key, aws_secret_access_key="s"
            )
            self._clients[service, region, account] = found
        return found

    def count(self, action: str, account: str = "*", region: str = "*") -> int:
        """How often it was asked for."""
        wanted = _Refusal("", action, account, region, None)
        return sum(1 for asked in list(self.asked) if wanted.takes(asked))

    def zone_id(self, zone: str = "a", region: str = REGION, account: str = OWN) -> str:
        return zone_id(account, region, zone)

    def run(
        self,
        kind: str,
        count: int = 1,
        *,
        account: str = OWN,
        region: str = REGION,
        zone: str = "a",
        lifecycle: str = "spot",
        platform: str = "Linux/UNIX",
        launched: float | None = None,
        tags: Mapping[str, str] | None = None,
        state: str = "running",
    ) -> list[str]:
        """Start machines, and a spot request for each that is spot. Gives their ids."""
        at = self.now if launched is None else launched
        reservation = f"r-{self._next():017x}"
        made = []
        for _ in range(count):
            number = self._next()
            machine = Machine(
                id=f"i-{number:017x}",
                account=account,
                region=region,
                zone=zone,
                type=kind,
                lifecycle=lifecycle,
                platform=platform,
                launched=at,
                reservation=reservation,
                address=f"ip-10-{number >> 16 & 255}-{number >> 8 & 255}-{number & 255}",
                tags=dict(tags or {}),
                state=state,
            )
            if lifecycle == "spot":
                machine.request = f"sir-{number:08x}"
                self.requests[machine.request] = Request(
                    machine.request, account, region, zone, kind, platform, at, at, machine.id
                )
            self.machines[machine.id] = machine
            made.append(machine.id)
        return made

    def request(
        self,
        kind: str,
        status: str = "capacity-not-available",
        *,
        account: str = OWN,
        region: str = REGION,
        zone: str = "a",
    ) -> str:
        """A spot request that has got no machine."""
        name = f"sir-{self._next():08x}"
        args = (name, account, region, zone, kind, "Linux/UNIX", self.now, self.now)
        self.requests[name] = Request(*args, machine=None, state="open", status=status)
        return name

    def price(
        self,
        kind: str,
        usd: float,
        *,
        region: str = REGION,
        zone: str = "a",
        at: float | None = None,
        product: str = "Linux/UNIX",
        account: str = "*",
    ) -> None:
        """A step of a spot price. zone: a letter, which is another zone in each account."""
        self.prices.setdefault((account, region, zone, kind, product), []).append((self.now if at is None else at, usd))

    def list_price(self, kind: str, usd: float, *, region: str = REGION, os: str = "Linux") -> None:
        self.list_prices[region, kind, os] = usd

    def score(self, score: int, *, region: str = REGION, zone: str = "") -> None:
        """zone: a letter of the own account; empty: for the whole region."""
        self.scores[region, zone] = score

    def manage(
        self,
        kind: str,
        metric: str,
        value: float,
        *,
        region: str = REGION,
        account: str = OWN,
        zone: str = "a",
        at: float | None = None,
    ) -> None:
        dimensions = {
            "resource-region": region,
            "availability-zone-id": zone_id(account, region, zone),
            "account-id": account,
            "instance-family": kind.partition(".")[0],
            "instance-type": kind,
        }
        self.managed.append(Figure(self.now - 3600 if at is None else at, dimensions, metric, value))

    def queue(self, account: str = OWN, region: str = REGION, name: str = "fleetwatch") -> str:
        """A queue that gets the account's events in the region. Gives its address."""
        url: str = self.client("sqs", region, account).create_queue(QueueName=name)["QueueUrl"]
        self.queues.setdefault((account, region), []).append(url)
        return url

    def event(
        self,
        account: str,
        region: str,
        detail_type: str,
        detail: Mapping[str, Any],
        *,
        id: str = "",
        source: str = "aws.ec2",
        resources: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Put an event into the queues as EventBridge writes it. Gives it."""
        made = {
            "version": "0",
            "id": id or str(uuid.UUID(int=self._next())),
            "detail-type": detail_type,
            "source": source,
            "account": account,
            "time": when(self.now).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": region,
            "resources": list(resources),
            "detail": dict(detail),
        }
        for url in self.queues.get((account, region), ()):
            self.client("sqs", region, account).send_message(QueueUrl=url, MessageBody=json.dumps(made))
        return made

    def rebalance(self, machine_id: str) -> dict[str, Any]:
        return self._of_machine("EC2 Instance Rebalance Recommendation", machine_id, {})

    def warn(self, machine_id: str, action: str = "terminate", *, tell: bool = True) -> dict[str, Any] | None:
        """Two minutes are left."""
        request = self.requests.get(self.machines[machine_id].request)
        if request is not None:
            request.status, request.updated = "marked-for-termination", self.now
        if not tell:
            return None
        return self._of_machine("EC2 Spot Instance Interruption Warning", machine_id, {"instance-action": action})

    def take(self, machine_id: str, reason: str = "capacity", *, tell: bool = True) -> dict[str, Any] | None:
        """It ends now. reason: capacity, price, constraint; user: by its owner."""
        machine = self.machines[machine_id]
        by = "User" if reason == "user" else "Service"
        machine.state = "terminated"
        machine.transition = f"{by} initiated ({when(self.now):%Y-%m-%d %H:%M:%S} GMT)"
        code, text = ("Server.SpotInstanceTermination", "Spot instance termination")
        if reason == "user":
            code, text = ("Client.UserInitiatedShutdown", "User initiated shutdown")
        machine.why = (code, f"{code}: {text}")
        request = self.requests.get(machine.request)
        if request is not None:
            request.state, request.status, request.updated = "closed", TAKEN[reason], self.now
        if not tell:
            return None
        return self._of_machine("EC2 Instance State-change Notification", machine_id, {"state": "terminated"})

    def forget(self, machine_id: str) -> None:
        """As EC2 does about an hour after its end."""
        self.requests.pop(self.machines.pop(machine_id).request, None)

    def refuse(
        self, kind: str, action: str = "*", *, account: str = "*", region: str = "*", times: int | None = None
    ) -> None:
        """kind: throttled, denied, expired, off (the region is), error, html (a page with status 500), page (with
        status 200, as of a network that wants somebody to sign in), hang.

        times: so many requests; None: all until `relent`.
        """
        assert kind in {"throttled", "denied", "expired", "off", "error", "html", "page", "hang"}, kind
        self._refusals.append(_Refusal(kind, action, account, region, times))

    def relent(self) -> None:
        """No refusals any more; those that hang are let go."""
        self._refusals.clear()
        self._released.set()
        self._released = threading.Event()

    def kind_of_refusal(self, asked: Asked) -> str:
        with self._guard:
            found = next((item for item in self._refusals if item.takes(asked)), None)
            if found is None:
                return ""
            if found.times is not None:
                found.times -= 1
            return found.kind

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet where the other side has hung up."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def hang(self) -> None:
        self._released.wait(HUNG)

    def _of_machine(self, detail_type: str, machine_id: str, detail: Mapping[str, Any]) -> dict[str, Any]:
        machine = self.machines[machine_id]
        # Warnings name the zone where other events name account and region.
        zone = f"{machine.region}{machine.zone}:"
        where = zone if detail_type.endswith("Warning") else f"{machine.region}:{machine.account}:"
        arn = f"arn:aws:ec2:{where}instance/{machine_id}"
        told = {"instance-id": machine_id, **detail}
        return self.event(machine.account, machine.region, detail_type, told, resources=[arn])

    def _next(self) -> int:
        with self._guard:
            self._number += 1
            return self._number


@cache
def _session() -> Any:
    return botocore.session.Session()


@contextmanager
def ec2_cloud(now: float = NOW) -> Iterator[Ec2]:
    """Until the block ends."""
    with Ec2(now) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.relent()
            server.shutdown()
            thread.join(5)
            forget_moto_s()


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ec2]:
    """AWS on loopback, and an identity that it knows. What it is asked and answers must fit AWS's models."""
    own_identity(monkeypatch, tmp_path)
    with ec2_cloud() as server:
        yield server
        assert server.wrong == []
