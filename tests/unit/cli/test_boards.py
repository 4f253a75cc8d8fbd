"""`fleetwatch boards`: what the user reads when something is missing or wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleetwatch.cli.boards import command
from fleetwatch.places import PROJECT
from support import free_port


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the checkout's grafana/."""
    return Path(
        shutil.copytree(PROJECT / "grafana", tmp_path / "grafana", ignore=shutil.ignore_patterns("__pycache__"))
    )


def test_a_fresh_folder_passes_the_check_in_silence(folder: Path) -> None:
    result = run("build", "--check", "--folder", folder)
    assert (result.exit_code, result.output) == (0, "")


def test_a_stale_file_fails_the_check_and_names_the_command(folder: Path) -> None:
    (folder / "generated" / "llm.json").write_text("{}")
    result = run("build", "--check", "--folder", folder)
    assert result.exit_code == 1
    assert f"{folder}/generated/llm.json: out of date" in result.output
    assert "run: fleetwatch boards build" in result.output
    assert (folder / "generated" / "llm.json").read_text() == "{}"


def test_build_writes_what_is_stale_and_says_so(folder: Path) -> None:
    (folder / "generated" / "llm.json").unlink()
    result = run("build", "--folder", folder)
    assert result.output == f"{folder}/generated/llm.json: written\n"
    assert run("build", "--folder", folder).output == ""


def test_a_file_without_a_board_is_named(folder: Path) -> None:
    (folder / "boards" / "empty.dashboard.py").write_text("x = 1\n")
    result = run("build", "--folder", folder)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {folder}/boards/empty.dashboard.py: expected `dashboard = board(...)`")


def test_a_folder_without_boards_is_named(tmp_path: Path) -> None:
    result = run("build", "--folder", tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path}/boards: not found; run this in a checkout, or give --folder" in result.output


def test_pushing_where_no_grafana_is_says_so() -> None:
    port = free_port()
    result = run("push", "--url", f"http://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert f"http://127.0.0.1:{port}/api/folders: no answer: " in result.output
    assert "is Grafana running there?" in result.output


@pytest.mark.parametrize("text", ["", "two words", "a\nb"])
def test_a_token_file_without_one_token_is_named(tmp_path: Path, text: str) -> None:
    """The file's content is never shown."""
    (tmp_path / "token").write_text(text)
    result = run("push", "--token-file", tmp_path / "token")
    assert result.exit_code == 1
    assert result.output == f"Error: {tmp_path}/token: expected one token on one line\n"


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = run("push", "--token-file", tmp_path / "token")
    assert result.output == f"Error: {tmp_path}/token: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("url", ["grafana.example.com", "file:///etc/passwd", "ftp://x"])
def test_an_address_that_is_not_http_is_refused(url: str) -> None:
    result = run("push", "--url", url)
    assert f'--url: expected http://… or https://…, got "{url}"' in result.output
