"""The machine by the settings: what cannot be shown is refused at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.app.here import here_of, host_name
from fleetwatch.collect import Here
from fleetwatch.settings import Settings, SettingsError
from fleetwatch.settings.model import Host, Labels, ProcessGroup


def with_groups(*names: str, limits: dict[str, int] | None = None) -> Settings:
    groups = [ProcessGroup(name=name, program=f"^{name}$") for name in names]
    return Settings(host=Host(process_groups=groups), labels=Labels(limits=limits or {}))


def test_groups_are_as_the_settings_say() -> None:
    first, second = here_of(with_groups("nginx", "postgres")).process_groups
    assert (first.name, second.name) == ("nginx", "postgres")
    assert first.program is not None
    assert first.program.search("nginx")
    assert first.command is None


def test_two_groups_of_a_name_are_refused() -> None:
    """They would be one series, which shows the last one's values."""
    with pytest.raises(SettingsError, match=r'process_groups\[2\]\.name: expected another .* \[0\], got "web"'):
        here_of(with_groups("web", "db", "web"))


def test_more_groups_than_the_label_may_have_are_refused() -> None:
    """They would all be _other."""
    names = [f"group{number}" for number in range(51)]
    with pytest.raises(SettingsError, match=r"host\.process_groups: expected at most 50 groups .*, got 51"):
        here_of(with_groups(*names))
    assert len(here_of(with_groups(*names, limits={"process_group": 60})).process_groups) == 51


def test_patterns_that_are_empty_are_the_usual_ones() -> None:
    here = here_of(Settings(host=Host(ignored_disks="^sd")))
    assert here.ignored_disks.pattern == "^sd"
    assert here.ignored_interfaces == Here().ignored_interfaces


def test_a_container_that_looks_at_its_host_has_the_host_s_name(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("web-1\n")
    assert host_name(Settings(host=Host(root=tmp_path))) == "web-1"
    assert host_name(Settings(host=Host(root=tmp_path, name="web-2"))) == "web-2"
