"""Clients of AWS's services for each account and region, made once and shared by all sources.

Credentials come as the AWS SDK finds them: environment, profile, role of the pod, the instance or the task. Of the SDK
only botocore is used: boto3 adds objects that nobody needs here.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple

from fleetwatch import __version__
from fleetwatch.aws.access import Access, Account, Target
from fleetwatch.aws.asked import Asked, Place
from fleetwatch.aws.budget import Budget
from fleetwatch.aws.calls import Calls, Trouble, action, code_of, outcome_of, plain, trouble_of
from fleetwatch.catalogue.metric import Sample

Call = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""(operation, parameters) -> answer; raises Trouble."""

ROLE_SESSION = "fleetwatch"
"""How the exporter is called in the CloudTrail of accounts whose roles it takes on."""

RENEW_BEFORE = 600.0
"""Seconds before its end that a role is taken on anew."""

RENEW_PAUSE = 600.0
"""Seconds between two renewals of credentials that AWS does not take; a region that is switched off takes none."""

CONNECTIONS = 16
"""Kept open by each client, at most: all sources share it, and each asks a target from one thread."""


class _Asking(NamedTuple):
    """What a thread is at: whose request, to which API, with how many items that are billed."""

    aws: Aws
    target: Target
    calls: Calls
    api: str
    items: int


_asking: ContextVar[_Asking | None] = ContextVar("asking", default=None)


class _Role(NamedTuple):
    session: Any
    until: float
    """Unix time at which its credentials end."""


class Aws:
    """The way to AWS. One for the process; for use by several threads at once."""

    def __init__(self, access: Access, clock: Callable[[], float] = time.time, budget: Budget | None = None) -> None:
        self._access = access
        self._clock = clock
        self._budget = budget or Budget()
        self._asked = Asked()
        self._lock = threading.Lock()
        self._own: Any = None
        # One lock for each account: a role that hangs holds up no other account.
        self._account_locks: dict[Account, threading.Lock] = defaultdict(threading.Lock)
        self._roles: dict[Account, _Role] = {}
        self._clients: dict[tuple[str, Target], Any] = {}
        self._numbers: dict[Account, str] = {}
        # The same, and kept when credentials are looked for again: series do not lose their name meanwhile.
        self._named: dict[Account, str] = {}
        self._renewed: dict[Account, float] = {}

    @property
    def timeout(self) -> float:
        """Seconds for an answer; one that is to be waited for longer never comes."""
        return self._access.timeout

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts of the settings, in their order."""
        return self._access.accounts

    def targets(self) -> list[Target]:
        """Every region of every account. Raises Trouble where no region is known."""
        regions = self._access.regions or (self._usual_region(),)
        return [Target(account, region) for account in self._access.accounts for region in regions]

    def caller(self, api: str, target: Target, calls: Calls, items: Callable[..., int] = lambda **_: 1) -> Call:
        """Asks a service of a target. items: number of billed items in a request, from its parameters."""

        def call(operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
            before = _asking.set(_Asking(self, target, calls, api, items(**parameters)))
            try:
                self._hold_back(target, action(api, operation))
                client = self._client(api, target)
                answer: dict[str, Any] = getattr(client, _method(client, operation))(**parameters)
            except Exception as error:
                found = error if isinstance(error, Trouble) else trouble_of(error, api, operation, str(target))
                if found.cause == "credentials":
                    self._renew(target.account)
                raise found from error
            finally:
                _asking.reset(before)
            return answer

        return call

    def samples(self) -> Iterator[Sample]:
        """How AWS was asked, by account, region and operation."""
        return self._asked.samples(self._name)

    def _name(self, account: Account) -> str:
        """How the account is called in series; empty as long as nobody knows its number."""
        part = account.role_arn.split(":")[4:5]
        return account.name or self._named.get(account) or (part[0] if part else "")

    def _hold_back(self, target: Target, api: str) -> None:
        """Wait for the turn of a request. Raises Trouble where that would take too long."""
        allowed, wait = self._budget.take(target, api)
        if wait:
            self._asked.held_back(Place(target.account, target.region, api))
        if not allowed:
            why = f"{api} in {target}: not asked, the next turn is in {wait:.0f} s"
            raise Trouble(
                "held_back", why, "The exporter asks less than AWS allows; what it knows is shown with its age."
            )

    def answered(self, asking: _Asking, service: str, operation: str, outcome: str) -> None:
        """One attempt has ended."""
        # A role is taken on inside a request to another service.
        inner = service == "sts"
        api = "sts" if inner else asking.api
        asking.calls.answered(api, operation, outcome, 1 if inner else asking.items)
        place = Place(asking.target.account, asking.target.region, action(api, operation))
        self._asked.answered(place, outcome, self._clock())
        self._budget.answered(asking.target, place.api, throttled=outcome == "throttled")

    def number(self, target: Target, calls: Calls) -> str:
        """Number of the target's account, asked once. Raises Trouble."""
        known = self._numbers.get(target.account)
        if known is None:
            known = self._numbers[target.account] = str(self.identity(target, calls)["Account"])
            self._named[target.account] = known
        return known

    def identity(self, target: Target, calls: Calls) -> dict[str, Any]:
        """Who we are there: Account, Arn. Needs no permission. Raises Trouble."""
        return self.caller("sts", target, calls)("GetCallerIdentity", {})

    def _renew(self, account: Account) -> None:
        """Look for credentials again with the next request: somebody may have renewed the file that they come from."""
        now = self._clock()
        with self._lock:
            if abs(now - self._renewed.get(account, float("-inf"))) < RENEW_PAUSE:
                return
            self._renewed[account] = now
            self._own = None
            self._roles.pop(account, None)
            self._numbers.pop(account, None)
            own_or_this = {key for key in self._clients if not key[1].account.role_arn or key[1].account == account}
            self._clients = {key: client for key, client in self._clients.items() if key not in own_or_this}

    def _usual_region(self) -> str:
        try:
            region = self._own_session().get_config_variable("region")
        except Exception as error:
            raise Trouble("credentials", plain(str(error)), "Set aws.profile to one that exists.") from error
        if not region:
            raise Trouble("region", "aws.regions is empty and the environment names no region", "Set aws.regions.")
        return str(region)

    def _client(self, api: str, target: Target) -> Any:
        with self._account_locks[target.account]:
            session = self._session(target)
            with self._lock:  # the SDK's sessions are not for several threads
                client = self._clients.get((api, target))
                if client is None:
                    client = self._clients[api, target] = self._make(session, api, target.region)
                return client

    def _session(self, target: Target) -> Any:
        account = target.account
        if not account.role_arn:
            return self._own_session()
        role = self._roles.get(account)
        if role is None or self._clock() >= role.until - RENEW_BEFORE:
            role = self._roles[account] = self._take_on(account, target)
            with self._lock:
                self._clients = {key: value for key, value in self._clients.items() if key[1].account != account}
        return role.session

    def _own_session(self) -> Any:
        with self._lock:
            if self._own is None:
                self._own = _new_session(self._access.profile)
            return self._own

    def _take_on(self, account: Account, target: Target) -> _Role:
        own = self._own_session()
        with self._lock:
            sts = self._make(own, "sts", target.region)
        extra = {"ExternalId": account.external_id} if account.external_id else {}
        try:
            answer = sts.assume_role(RoleArn=account.role_arn, RoleSessionName=ROLE_SESSION, **extra)
        except Exception as error:
            raise trouble_of(error, "sts", "AssumeRole", str(target)) from error
        found = answer["Credentials"]
        session = _new_session(self._access.profile)
        session.set_credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
        return _Role(session, found["Expiration"].timestamp())

    def _make(self, session: Any, api: str, region: str) -> Any:
        from botocore.config import Config  # noqa: PLC0415 - only programs with AWS sources load the SDK

        access = self._access
        config = Config(
            connect_timeout=access.connect_timeout,
            read_timeout=access.timeout,
            # Standard mode waits with exponential back-off and jitter, and gives up early when AWS is in trouble.
            retries={"mode": "standard", "total_max_attempts": access.attempts},
            max_pool_connections=CONNECTIONS,
            user_agent_extra=f"fleetwatch/{__version__}",
        )
        client = session.create_client(api, region_name=region, endpoint_url=access.endpoint_url or None, config=config)
        client.meta.events.register("response-received", _count)
        return client


def _new_session(profile: str) -> Any:
    from botocore.session import Session  # noqa: PLC0415 - see above

    session = Session(profile=profile or None)
    session.register_component("data_loader", _loader())
    return session


@cache
def _loader() -> Any:
    """AWS's descriptions of its services, several MB of JSON: read once for all accounts."""
    from botocore.session import Session  # noqa: PLC0415 - see above

    return Session().get_component("data_loader")


def _method(client: Any, operation: str) -> str:
    names: dict[str, str] = client.meta.method_to_api_mapping
    return next(name for name, api in names.items() if api == operation)


def _count(
    parsed_response: dict[str, Any] | None, exception: Exception | None, event_name: str, **_more: object
) -> None:
    """One attempt was answered or failed. The SDK calls it in the thread that asks."""
    asking = _asking.get()
    if asking is None:
        return
    _, service, operation = event_name.split(".")
    code, status = code_of(parsed_response or {})
    asking.aws.answered(asking, service, operation, outcome_of(code, status, exception))
