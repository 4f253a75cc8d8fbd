"""The token file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleetwatch.receive.errors import Unauthorized
from fleetwatch.receive.token import TokenFile


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def replace(path: Path, text: str) -> None:
    """As an operator or Kubernetes does it: a new file in place of the old."""
    new = path.with_name("new")
    new.write_text(text)
    os.replace(new, path)


def test_a_new_token_is_in_force_within_a_second_and_the_old_one_is_not(tmp_path: Path) -> None:
    path, clock = tmp_path / "token", Clock()
    path.write_text("old\n")
    token = TokenFile(path, clock)
    token.check(b"Bearer old")
    replace(path, "new\n")
    clock.now = 1.0
    token.check(b"Bearer new")
    with pytest.raises(Unauthorized):
        token.check(b"Bearer old")


@pytest.mark.parametrize("harm", ["gone", "empty"])
def test_without_its_file_the_last_token_stays_in_force(tmp_path: Path, harm: str) -> None:
    path, clock = tmp_path / "token", Clock()
    path.write_text("old")
    token = TokenFile(path, clock)
    path.unlink() if harm == "gone" else replace(path, " \n")
    for clock.now in (1.0, 2.0):
        token.check(b"Bearer old")
        for shown in (None, b"", b"Bearer ", b"Bearer", b"Bearer \n"):
            with pytest.raises(Unauthorized):
                token.check(shown)


def test_a_start_without_a_token_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="token"):
        TokenFile(tmp_path / "token")
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ValueError, match=r"token: expected a token, got an empty file"):
        TokenFile(tmp_path / "token")
