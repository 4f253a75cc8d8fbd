"""The machine by the settings, and the sources that look at it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fleetwatch.catalogue.hosts import GROUP
from fleetwatch.collect.here import Here, ProcessGroup
from fleetwatch.collect.runner import Pace, Source, load, source_names
from fleetwatch.settings import Settings, SettingsError


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
    )


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


def sources(settings: Settings, here: Here, *domains: str) -> list[Source]:
    """The enabled sources of these domains. Raises SettingsError for settings of a source that does not exist."""
    unknown = sorted(set(settings.collect) - set(source_names()))
    if unknown:
        raise SettingsError(f"collect.{unknown[0]}: expected one of {', '.join(source_names())}")
    paces = {name: settings.collect.get(name) for name in source_names(*domains)}
    return [
        load(name, here, Pace(pace.enabled, pace.interval, pace.timeout, pace.jitter) if pace else Pace())
        for name, pace in paces.items()
        if pace is None or pace.enabled
    ]


def _pattern(text: str) -> re.Pattern[str] | None:
    return re.compile(text) if text else None
