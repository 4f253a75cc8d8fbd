"""The repository's configuration files with this set-up's addresses, links and secrets put in.

The files in the repository are complete and valid as they are, for a machine where everything runs with its defaults.
Rendering replaces the default addresses by the real ones, so the files need no template language.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fleetwatch.places import PROJECT
from fleetwatch.settings import Settings
from fleetwatch.stack import StackError
from fleetwatch.stack.ports import local

_NOTE = "# Rendered from {source}; changes here are lost. See `fleetwatch up`.\n"


class Targets(NamedTuple):
    """HOST:PORT of each program as the others reach it; None where it does not run."""

    exporter: str | None
    prometheus: str | None
    alertmanager: str | None
    collector: str | None
    grafana: str | None


DEFAULTS = Targets("127.0.0.1:9464", "127.0.0.1:9090", "127.0.0.1:9093", "127.0.0.1:8888", "127.0.0.1:3000")
"""As the files in the repository have them."""
COMPOSE = Targets("fleetwatch:9464", "prometheus:9090", "alertmanager:9093", "otel-collector:8888", "grafana:3000")


def links(settings: Settings) -> dict[str, str]:
    """The repository's link bases -> those of the settings. A moved listener moves its link unless the link is set."""
    chosen, ours = settings.links, settings.stack
    listeners = {
        "exporter": (settings.web.listen, DEFAULTS.exporter),
        "prometheus": (ours.prometheus_listen, DEFAULTS.prometheus),
        "alertmanager": (ours.alertmanager_listen, DEFAULTS.alertmanager),
        "grafana": (ours.grafana_listen, DEFAULTS.grafana),
    }
    found = {}
    for name, (listen, default) in listeners.items():
        link: str = getattr(chosen, name) or f"http://{local(listen)}"
        found[f"http://{default}"] = link.rstrip("/")
    return found


def render(
    settings: Settings, targets: Targets, out: Path, *, webhook_files: bool = True, source: Path = PROJECT
) -> None:
    """Write prometheus/, alertmanager/, boards/ and provisioning/ below `out`. Raises StackError.

    webhook_files: whether this Alertmanager reads a webhook's address from a file (0.26 and newer).
    """
    if not (source / "prometheus" / "prometheus.yml").is_file():
        raise StackError(f"{source}: expected the stack's configuration files here; run from a checkout of fleetwatch")
    bases = links(settings)
    # Written beside and then exchanged: a program that reads at this moment sees old files or new ones, not half.
    fresh = out.with_name(out.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    _prometheus(source / "prometheus", fresh / "prometheus", targets, bases)
    _alertmanager(source / "alertmanager", fresh / "alertmanager", settings, bases, webhook_files=webhook_files)
    for file in sorted((source / "grafana" / "generated").glob("*.json")):
        _copy(file, fresh / "boards" / file.name, bases)
    (fresh / "boards").mkdir(parents=True, exist_ok=True)
    shutil.copytree(source / "grafana" / "provisioning", fresh / "provisioning")
    for name in ("plugins", "notifiers", "alerting"):  # Grafana calls a missing one an error
        (fresh / "provisioning" / name).mkdir(exist_ok=True)
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)


def _prometheus(source: Path, out: Path, targets: Targets, bases: Mapping[str, str]) -> None:
    for folder in ("rules", "alerts"):
        for file in sorted((source / folder).glob("*.yml")):
            _copy(file, out / folder / file.name, bases)
    data = yaml.safe_load((source / "prometheus.yml").read_text(encoding="utf-8"))
    real = dict(zip(DEFAULTS, targets, strict=True))
    jobs = [job for job in data["scrape_configs"] if _point(job, real)]
    managers = [manager for manager in data.get("alerting", {}).get("alertmanagers", []) if _point(manager, real)]
    data |= {"scrape_configs": jobs, "alerting": {"alertmanagers": managers}}
    _write(out / "prometheus.yml", data, source / "prometheus.yml")


def _point(section: dict[str, Any], real: Mapping[str | None, str | None]) -> bool:
    """Put real addresses into static_configs. False when nothing is left: that program does not run here."""
    for group in section.get("static_configs", []):
        addresses = [real.get(target, target) for target in group["targets"]]
        group["targets"] = [address for address in addresses if address]
    return any(group["targets"] for group in section.get("static_configs", [])) or "static_configs" not in section


def _alertmanager(
    source: Path, out: Path, settings: Settings, bases: Mapping[str, str], *, webhook_files: bool
) -> None:
    for file in sorted((source / "templates").glob("*.tmpl")):
        _copy(file, out / "templates" / file.name, bases)
    text = relink((source / "alertmanager.yml").read_text(encoding="utf-8"), bases)
    data = json.loads(json.dumps(yaml.safe_load(text)))  # YAML's aliases become copies: each is filled by itself
    files = {
        "slack_url": settings.stack.slack_url_file,
        "pagerduty_key": settings.stack.pagerduty_key_file,
        "deadman_url": settings.stack.deadman_url_file,
    }
    have = {name: str(file.absolute()) for name, file in files.items() if file is not None and _is_filled(file)}
    lost = {
        key
        for key, value in data.get("global", {}).items()
        if _is_secret(key, value) and not _fill(data["global"], key, have)
    }
    for key in lost:
        del data["global"][key]
    for receiver in data["receivers"]:
        if receiver["name"] == "deadman":
            receiver.update(_deadman(webhook_files=webhook_files))
        for kind in [key for key in receiver if key.endswith("_configs")]:
            inherits = f"{kind.removesuffix('_configs')}_api_url_file" in lost
            receiver[kind] = [item for item in receiver[kind] if _has_secrets(item, have, inherits=inherits)]
            if not receiver[kind]:
                del receiver[kind]
    _write(out / "alertmanager.yml", data, source / "alertmanager.yml")


def _deadman(*, webhook_files: bool) -> dict[str, Any]:
    """Where the Watchdog goes. Before 0.26 only Slack's receiver reads its address from a file: a POST all the same."""
    kind, key = ("webhook_configs", "url_file") if webhook_files else ("slack_configs", "api_url_file")
    return {kind: [{key: "secrets/deadman_url", "send_resolved": False}]}


def _is_filled(file: Path) -> bool:
    """Whether the secret is there. An empty file means "not used": compose mounts one where none is given."""
    try:
        return bool(file.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise StackError(f"{file}: cannot be read: {error.strerror}") from None


def _is_secret(key: str, value: object) -> bool:
    return key.endswith("_file") and isinstance(value, str)


def _fill(section: dict[str, Any], key: str, have: Mapping[str, str]) -> bool:
    """Put the absolute path of the secret in. False when there is none."""
    name = Path(section[key]).name
    if name in have:
        section[key] = have[name]
    return name in have


def _has_secrets(item: dict[str, Any], have: Mapping[str, str], *, inherits: bool) -> bool:
    """Fill the secrets of one receiver's entry, also nested ones. False when one is not set: it could not deliver."""
    keys = [key for key, value in item.items() if _is_secret(key, value)]
    if inherits and not keys:
        return False
    nested = [value for value in item.values() if isinstance(value, dict)]
    return all(_fill(item, key, have) for key in keys) and all(
        _has_secrets(value, have, inherits=False) for value in nested
    )


def _copy(file: Path, out: Path, bases: Mapping[str, str]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(relink(file.read_text(encoding="utf-8"), bases), encoding="utf-8")


def relink(text: str, bases: Mapping[str, str]) -> str:
    """The text of a file with its links moved. bases: see `links`."""
    for old, new in bases.items():
        text = text.replace(old, new)
    return text


def _write(out: Path, data: object, source: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
    out.write_text(_NOTE.format(source="/".join(source.parts[-2:])) + text, encoding="utf-8")


def keep_secret(file: Path, mode: int = 0o600) -> Path:
    """A random secret in a file that only its owner (0o640: and its group) reads; made once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists() or not file.read_text().strip():
        fresh = file.with_name(file.name + ".new")
        fresh.touch(mode=0o600)
        fresh.chmod(mode)
        fresh.write_text(secrets.token_urlsafe(18))
        fresh.rename(file)
    return file
