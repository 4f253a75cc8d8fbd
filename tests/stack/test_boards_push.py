"""`fleetwatch boards push` into a real Grafana."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleetwatch.cli.boards import command
from support_boards import STEMS
from support_grafana import ADMIN, call, start_grafana

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty Grafana."""
    folder = tmp_path_factory.mktemp("grafana")
    (folder / "provisioning").mkdir()
    with start_grafana(folder, "http://127.0.0.1:9", provisioning=folder / "provisioning") as base:
        yield base


def token_file(grafana: str, folder: Path, role: str) -> Path:
    account = call(grafana, "/api/serviceaccounts", {"name": f"boards-{role}", "role": role}, ADMIN)
    token = call(grafana, f"/api/serviceaccounts/{account['id']}/tokens", {"name": role}, ADMIN)
    (folder / role).write_text(token["key"] + "\n")
    return folder / role


def push(*arguments: str | Path, **environ: str) -> Result:
    return CliRunner().invoke(command, ["push", *(str(argument) for argument in arguments)], env=environ)


def test_an_editor_pushes_all_boards_again_and_again(grafana: str, tmp_path: Path) -> None:
    """With this installation's address of the runbooks."""
    token = token_file(grafana, tmp_path, "Editor")
    runbooks = {"FLEETWATCH_LINKS__EXPORTER": "https://fleetwatch.example.com"}
    for _ in range(2):
        result = push("--url", f"{grafana}/", "--token-file", token, **runbooks)
        assert result.exit_code == 0, result.output
        assert len(result.output.splitlines()) == len(STEMS)
    for stem in STEMS:
        found = call(grafana, f"/api/dashboards/uid/fw-{stem}", headers=ADMIN)
        assert found["meta"]["folderTitle"] == "Fleetwatch"
        assert "https://fleetwatch.example.com/runbooks/" in str(found["dashboard"])
        assert "127.0.0.1:9464" not in str(found["dashboard"])


def test_a_viewer_and_a_stranger_are_told_what_they_need(grafana: str, tmp_path: Path) -> None:
    viewer = push("--url", grafana, "--token-file", token_file(grafana, tmp_path, "Viewer"))
    assert viewer.exit_code == 1
    assert "needs role Editor" in viewer.output
    (tmp_path / "wrong").write_text("glsa_wrong")
    stranger = push("--url", grafana, "--token-file", tmp_path / "wrong")
    assert stranger.exit_code == 1
    assert "401" in stranger.output
    assert "service account token" in stranger.output
    assert "glsa_wrong" not in stranger.output


def test_an_address_that_is_not_grafanas_is_told(grafana: str) -> None:
    result = push("--url", f"{grafana}/elsewhere")
    assert result.exit_code == 1
    assert "/elsewhere/api/folders" in result.output
