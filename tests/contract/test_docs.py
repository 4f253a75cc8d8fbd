"""The documentation mentions every collector, setting and verb."""

from __future__ import annotations

import click

from fleetwatch.cli import verbs
from fleetwatch.collect import source_names
from fleetwatch.places import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")
EXPORTERS = (PROJECT / "exporters" / "README.md").read_text(encoding="utf-8")


def unmentioned(names: list[str], text: str) -> list[str]:
    """Names that do not stand in the text as code."""
    return [name for name in names if f"`{name}" not in text and f"fleetwatch {name}" not in text]


def test_every_verb_is_explained() -> None:
    names = verbs.list_commands(click.Context(verbs))
    assert unmentioned(names, README + EXPORTERS) == []


def test_every_source_is_explained() -> None:
    assert unmentioned(source_names(), EXPORTERS) == []


def test_every_verb_says_what_it_does() -> None:
    context = click.Context(verbs)
    for name in verbs.list_commands(context):
        command = verbs.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(), name


def test_the_wall_stands() -> None:
    """A verb that is nowhere mentioned is found."""
    assert unmentioned(["doctor"], "nothing here") == ["doctor"]


def test_the_readme_starts_with_two_commands_and_no_more() -> None:
    start = README.split("## Start")[1].split("## ")[0]
    commands = [line for line in start.splitlines() if line.startswith("    ")]
    assert [line.split()[0] for line in commands] == ["scripts/up", "scripts/test"]


def test_links_between_files_lead_somewhere() -> None:
    import re

    broken = []
    for page in PROJECT.rglob("*.md"):
        if ".venv" in page.parts:
            continue
        targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
        broken += [
            f"{page.relative_to(PROJECT)}: {target}" for target in targets if not (page.parent / target).exists()
        ]
    assert broken == []
