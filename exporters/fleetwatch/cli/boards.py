"""`fleetwatch boards build|push`: Grafana boards from their Python files, and into a Grafana."""

from __future__ import annotations

import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from fleetwatch import places, settings
from fleetwatch.cli._options import config_option
from fleetwatch.stack import render

FOLDER_UID = "fleetwatch"

folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with boards/ and generated/. Default: grafana/ here, else of the checkout that runs.",
)


@click.group()
def command() -> None:
    """Build Grafana boards, or push them to a Grafana."""


@command.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a generated file is out of date.")
@folder_option
def build(check: bool, folder: Path | None) -> None:
    """Write generated/<stem>.json from boards/<stem>.dashboard.py."""
    folder = _found(folder)
    builder = _builder(folder)
    try:
        changed = list(builder.stale(folder)) if check else builder.write(folder)
    except (TypeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    for path in changed:
        click.echo(f"{path}: {'out of date' if check else 'written' if path.exists() else 'removed'}", err=check)
    if check and changed:
        raise click.ClickException("boards changed and their JSON did not; run: fleetwatch boards build")


@command.command()
@click.option("--url", default="http://127.0.0.1:3000", show_default=True, help="Address of the Grafana.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with a service account token that may write dashboards (role Editor). Without: no login is sent.",
)
@folder_option
@config_option
def push(url: str, token_file: Path | None, folder: Path | None, config: Path | None) -> None:
    """Send the generated boards to a Grafana, into folder Fleetwatch, over what it has under the same uid."""
    folder = _found(folder)
    files = sorted((folder / "generated").glob("*.json"))
    if not files:
        raise click.ClickException(f"{folder}/generated: no boards; run: fleetwatch boards build")
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise click.ClickException(f'--url: expected http://… or https://…, got "{url}"')
    token = _token(token_file)
    links = render.links(settings.load(config))
    _call(url, "/api/folders", {"uid": FOLDER_UID, "title": "Fleetwatch"}, token, fine=(409, 412))
    for file in files:
        text = file.read_text(encoding="utf-8")
        for default, link in links.items():
            text = text.replace(default, link)
        body = {"dashboard": json.loads(text), "folderUid": FOLDER_UID, "overwrite": True, "message": "fleetwatch"}
        answer = _call(url, "/api/dashboards/db", body, token)
        click.echo(f"{url.rstrip('/')}{answer.get('url', '')}")


def _found(folder: Path | None) -> Path:
    candidates = [folder] if folder else [Path("grafana"), places.PROJECT / "grafana"]
    for candidate in candidates:
        if (candidate / "boards").is_dir():
            return candidate
    raise click.ClickException(f"{candidates[0]}/boards: not found; run this in a checkout, or give --folder")


def _builder(folder: Path) -> ModuleType:
    """The boards' own builder, `grafana.house.build`, which lives in the checkout and not in this package."""
    root = str(folder.resolve().parent)
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        from grafana.house import build as builder  # noqa: PLC0415 - needs the checkout on sys.path, and grafanalib
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("grafanalib"):
            raise click.ClickException("grafanalib is missing; run: pip install 'fleetwatch[boards]'") from None
        raise click.ClickException(f"{folder}/house: cannot be imported: {error}") from None
    return builder


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        token = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise click.ClickException(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.ClickException(f"{file}: expected a token in ASCII") from None
    if not token or len(token.split()) != 1:
        raise click.ClickException(f"{file}: expected one token on one line")
    return token


def _call(base: str, path: str, body: object, token: str, fine: tuple[int, ...] = ()) -> dict[str, Any]:
    """Grafana's JSON answer to a POST; empty for the statuses in `fine`."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    url = base.rstrip("/") + path
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - the scheme was checked
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - see above
            found = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            if error.code in fine:
                return {}
            raise click.ClickException(_refusal(url, error)) from None
    except urllib.error.URLError as error:
        raise click.ClickException(f"{url}: no answer: {error.reason}; is Grafana running there?") from None
    except (OSError, http.client.HTTPException, ValueError):
        raise click.ClickException(f"{url}: the answer is not Grafana's") from None
    return found if isinstance(found, dict) else {}


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    try:
        message = str(json.loads(error.read(4096)).get("message", ""))
    except (OSError, ValueError, AttributeError):
        message = ""
    hint = {
        401: "; give --token-file with a service account token",
        403: "; the token's service account needs role Editor",
        404: "; is this Grafana's address?",
    }.get(error.code, "")
    if "provisioned" in message:
        hint = "; this Grafana reads the boards from files already: there is nothing to push"
    return f"{url}: {error.code} {message or error.reason}{hint}"
