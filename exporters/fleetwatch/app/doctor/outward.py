"""What the exporter asks of others: who we are in AWS, and every enabled source once."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from fleetwatch import places
from fleetwatch.app.alerts import access_of
from fleetwatch.app.doctor import queues
from fleetwatch.app.doctor.finding import Finding
from fleetwatch.app.here import bill_sources, domains_of, here_of, sources
from fleetwatch.aws import Account, Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.together import each
from fleetwatch.collect.bills import aws_cost
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import Denied, Incomplete, NoData, Source, source_names
from fleetwatch.settings import Settings, SettingsError

LONGER = 5.0
"""Seconds that are waited past the longest time-out of a source."""
COSTLY = {"aws_cost": "each reading costs 0.01 USD: --paid asks it, too"}
IN_AWS = {*source_names("ai_services", "spot", "storage"), "aws_cost"}
FIRST = ("ec2_fleet", "instance_types")
"""Sources that others go by: those ask only for the prices of machines that there are."""
UNASKED = {"interruption_events": "its queues are looked at by themselves: reading takes messages away"}


RUNBOOK = places.RUNBOOKS / "CollectorSourceFailing.md"


class _Once(NamedTuple):
    """What one cycle of a source gave. failure: None where nothing failed; said: None where there was nothing."""

    series: int
    seconds: float
    failure: Exception | None = None


def ask(settings: Settings, tell: Callable[[str], None], *, paid: bool) -> Iterator[Finding]:
    """Who we are in AWS, then the sources; those of AWS only where we are anybody."""
    try:
        here = here_of(settings)
    except SettingsError:  # has been told with the settings
        yield Finding("sources", "all", "note", "not asked: the settings do not hold")
        return
    known = list(_identities(settings, here))
    yield from known
    yield from queues.ask(here)
    nobody = any(item.state == "trouble" for item in known) and not any(item.state == "ok" for item in known)
    yield from _sources_once(settings, here, tell, paid=paid, without=IN_AWS if nobody else ())


def _identities(settings: Settings, here: Here) -> Iterator[Finding]:
    """Who the exporter is in each account."""
    aws = here.aws
    if aws is None:
        yield Finding("aws", "identity", "skipped", "none of aws, spot, storage and bills.aws is enabled")
        return
    calls = Calls("doctor")
    try:
        in_regions = settings.aws.enabled or settings.spot.enabled or settings.storage.enabled
        targets = [*(aws.targets() if in_regions else []), *_payers(settings)]
    except Trouble as trouble:
        yield Finding("aws", "regions", "trouble", trouble.why, trouble.fix)
        return
    firsts = list({target.account: target for target in targets}.values())
    for target, found in each(firsts, lambda target: aws.identity(target, calls), 60.0).items():
        what = f"identity in {target.account.name or target.account.role_arn or 'the own account'}"
        if isinstance(found, Trouble):
            yield Finding("aws", what, "trouble", found.why, found.fix, found.permission)
        elif isinstance(found, Exception):
            yield Finding("aws", what, "trouble", f"{type(found).__name__}: {found}", "This is a fault of fleetwatch.")
        else:
            yield Finding("aws", what, "ok", str(found["Arn"]))


def _payers(settings: Settings) -> Iterator[Target]:
    """Where Cost Explorer is asked; it needs no region of the settings."""
    bill = settings.bills.aws
    if bill.enabled:
        yield Target(Account("", bill.role_arn, bill.external_id), aws_cost.REGION)


def _sources_once(
    settings: Settings, here: Here, tell: Callable[[str], None], *, paid: bool, without: Collection[str]
) -> Iterator[Finding]:
    """One cycle of every enabled source, without a trace: what they keep goes into a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="fleetwatch-doctor-") as folder:
        try:
            bare = dataclasses.replace(here, state=None, bills_folder=Path(folder), alertmanager=access_of(settings))
            enabled = _enabled(settings, bare)
        except SettingsError:
            yield Finding("sources", "all", "note", "not asked: the settings do not hold")
            return
        left = {**UNASKED, **dict.fromkeys(without, "not asked: see aws above"), **({} if paid else COSTLY)}
        by_name = {item.name: item for item in enabled if item.name not in left}
        patience = max((item.timeout for item in by_name.values()), default=0.0) + LONGER
        tell(f"asking the sources, which may take {patience:g} s")
        firsts = [name for name in FIRST if name in by_name]
        for names in (firsts, [name for name in by_name if name not in firsts]):
            for name, answer in each(names, lambda name: _once(by_name[name]), patience).items():
                yield from _findings(name, answer, by_name[name].timeout)
        yield from (Finding("sources", item.name, "skipped", left[item.name]) for item in enabled if item.name in left)


def _enabled(settings: Settings, here: Here) -> list[Source]:
    return [*sources(settings, here, *domains_of(settings)), *bill_sources(settings, here)]


def _once(item: Source) -> _Once:
    started = time.monotonic()
    series, failure = 0, None
    try:
        for _ in item.collect():
            series += 1
    except NoData:
        pass
    except Exception as error:
        failure = error
    if (stop := getattr(item.collect, "stop", None)) is not None:
        stop()  # what it watches
    return _Once(series, time.monotonic() - started, failure)


def _findings(name: str, answer: _Once | Exception, timeout: float) -> Iterator[Finding]:
    if isinstance(answer, Exception):
        fix = "Look at what it reads: a file server, a driver or a network that does not answer."
        yield Finding("sources", name, "trouble", f"took longer than {timeout:g} s", fix)
        return
    failure = answer.failure
    if failure is None:
        said = f"{answer.series} series in {answer.seconds:.1f} s" if answer.series else "nothing to report here"
        yield Finding("sources", name, "ok", said)
        return
    missing = [failure] if isinstance(failure, Denied) else failure.denied if isinstance(failure, Incomplete) else []
    for item in missing:
        yield Finding("sources", name, "trouble", item.why, item.fix, item.permission)
    if not missing:
        text = str(failure) if isinstance(failure, Incomplete) else f"{type(failure).__name__}: {failure}"
        yield Finding("sources", name, "trouble", text, f"Look at {RUNBOOK}.")
