"""The machine by the settings, and the sources that look at it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from functools import partial
from pathlib import Path

from fleetwatch.app.cloud import ai_services_of, aws_of, kubernetes_of, prices_of, spot_of, storage_of
from fleetwatch.catalogue.hosts import GROUP
from fleetwatch.collect.here import BillAccess, Here, ProcessGroup, ScrapeTargets
from fleetwatch.collect.runner import Pace, Source, load, source_names
from fleetwatch.collect.serving._address import address_of
from fleetwatch.settings import Settings, SettingsError

BILL_SOURCES = {"openai": "openai", "anthropic": "anthropic", "aws": "aws_cost"}
"""Provider of a bill -> its source."""

SCRAPE_SOURCES = {"vllm": "vllm", "litellm": "litellm_proxy"}
"""Kind of server -> its source."""

OF_THE_APP = ("spot_judge",)
"""Sources that are no file of collect/: they need the ledger as well."""

BEDROCK = ("Amazon Bedrock", "*(Amazon Bedrock Edition)")
"""AWS' services that are LLM calls. Models of other makers are sold as services of their own, over the marketplace."""


def host_name(settings: Settings) -> str:
    """The name of this machine in all series. In a container that looks at its host: the host's."""
    if settings.host.name:
        return settings.host.name
    if settings.host.root != Path("/"):
        try:
            named = (settings.host.root / "etc" / "hostname").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            named = ""
        if named:
            return named
    return os.uname().nodename


def here_of(settings: Settings) -> Here:
    """Raises SettingsError for groups of processes whose series could not be told apart."""
    host = settings.host
    usual = Here()
    return Here(
        name=host_name(settings),
        region=host.region,
        zone=host.zone,
        deployment=host.deployment,
        proc=host.proc,
        sys=host.sys,
        root=host.root,
        process_groups=_process_groups(settings),
        top_processes=host.top_processes,
        ignored_filesystems=_pattern(host.ignored_filesystems) or usual.ignored_filesystems,
        ignored_interfaces=_pattern(host.ignored_interfaces) or usual.ignored_interfaces,
        ignored_disks=_pattern(host.ignored_disks) or usual.ignored_disks,
        imds=host.imds,
        aws=aws_of(settings),
        spot=spot_of(settings),
        storage=storage_of(settings),
        kubernetes=kubernetes_of(settings),
        ai_services=ai_services_of(settings),
        prices=partial(prices_of, settings),
        state=settings.data_dir / "collect",
        bills=_bills(settings),
        bills_folder=bills_folder(settings),
        bills_days=settings.bills.days,
        scrape=_scrape(settings),
    )


def bills_folder(settings: Settings) -> Path:
    """Where bills are kept."""
    return settings.data_dir / "bills"


def _bills(settings: Settings) -> dict[str, BillAccess]:
    """The bills that are to be read, by provider."""
    bills = settings.bills
    found = {
        name: BillAccess(keyed.url, keyed.lag, keyed.refresh, keyed.key_file)
        for name, keyed in (("openai", bills.openai), ("anthropic", bills.anthropic))
        if keyed.key_file is not None
    }
    if bills.aws.enabled:
        aws = bills.aws
        services = tuple(aws.services) or BEDROCK
        found["aws"] = BillAccess("", aws.lag, aws.refresh, None, services, aws.role_arn, aws.external_id)
    return found


def bill_sources(settings: Settings, here: Here) -> list[Source]:
    """The sources of the bills that are to be read."""
    return sources(settings, here, "bills", only=[BILL_SOURCES[name] for name in here.bills])


def _scrape(settings: Settings) -> dict[str, ScrapeTargets]:
    """The servers that are to be asked, by kind. Raises SettingsError for an address that is none."""
    scrape = settings.scrape
    found = {"vllm": (scrape.vllm, scrape.vllm_token_file), "litellm": (scrape.litellm, scrape.litellm_token_file)}
    for kind, (urls, _) in found.items():
        places: dict[str, int] = {}
        for place, url in enumerate(urls):
            try:
                server = address_of(url, "/").server
            except ValueError as error:
                raise SettingsError(f"scrape.{kind}[{place}]: {error}") from None
            first = places.setdefault(server, place)
            if first != place:
                expected = f"expected another host or port than that of [{first}]"
                raise SettingsError(f'scrape.{kind}[{place}]: {expected}, got "{url}"')
    return {kind: ScrapeTargets(tuple(urls), token_file) for kind, (urls, token_file) in found.items() if urls}


def scrape_sources(settings: Settings, here: Here) -> list[Source]:
    """The sources of the servers that are to be asked."""
    return sources(settings, here, "serving", only=[SCRAPE_SOURCES[kind] for kind in here.scrape])


def _process_groups(settings: Settings) -> tuple[ProcessGroup, ...]:
    rules = settings.host.process_groups
    most = settings.labels.limits.get(GROUP.name, GROUP.at_most)
    if len(rules) > most:
        raise SettingsError(f"host.process_groups: expected at most {most} groups (labels.limits), got {len(rules)}")
    places: dict[str, int] = {}
    for place, rule in enumerate(rules):
        first = places.setdefault(rule.name, place)
        if first != place:
            raise SettingsError(
                f'host.process_groups[{place}].name: expected another name than that of [{first}], got "{rule.name}"'
            )
    return tuple(ProcessGroup(rule.name, _pattern(rule.program), _pattern(rule.command)) for rule in rules)


def domains_of(settings: Settings) -> list[str]:
    """Whose sources are asked because of what is switched on; bills and servers of models are asked one by one."""
    wanted = {
        "hosts": settings.host.enabled,
        "ai_services": settings.aws.enabled,
        "spot": settings.spot.enabled,
        "storage": settings.storage.enabled,
        "kubernetes": bool(settings.kubernetes.clusters),
    }
    return ["exporter", "alerting", *(name for name, is_on in wanted.items() if is_on)]


def pace_of(settings: Settings, name: str) -> Pace:
    """A source's own settings."""
    pace = settings.collect.get(name)
    return Pace(pace.enabled, pace.interval, pace.timeout, pace.jitter) if pace else Pace()


def sources(settings: Settings, here: Here, *domains: str, only: Collection[str] | None = None) -> list[Source]:
    """The enabled sources of these domains, or only some of them.

    Raises SettingsError for settings of a source that does not exist.
    """
    known = {*source_names(), *OF_THE_APP}
    unknown = sorted(set(settings.collect) - known)
    if unknown:
        raise SettingsError(f"collect.{unknown[0]}: expected one of {', '.join(sorted(known))}")
    paces = {name: pace_of(settings, name) for name in source_names(*domains) if only is None or name in only}
    return [load(name, here, pace) for name, pace in paces.items() if pace.enabled]


def _pattern(text: str) -> re.Pattern[str] | None:
    return re.compile(text) if text else None
