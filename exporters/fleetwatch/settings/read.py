"""fleetwatch.yml with its line numbers. Imported only where there is YAML to read: PyYAML costs 10 ms."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from fleetwatch.settings.build import Place, one_line
from fleetwatch.settings.errors import SettingsError


class _TextNumbers(yaml.SafeLoader):
    """Reads 12.10 as Decimal("12.10"), money in a float would not be what was written, and days as their text."""


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal | float:
    text = loader.construct_scalar(node).replace("_", "")
    try:
        return Decimal(text)
    except ArithmeticError:
        return float(loader.construct_yaml_float(node))


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    """PyYAML fails without a line for 2026-02-30; the check of days tells the place."""
    return str(loader.construct_scalar(node))


_TextNumbers.add_constructor("tag:yaml.org,2002:float", _decimal)
_TextNumbers.add_constructor("tag:yaml.org,2002:timestamp", _text)


def file(path: Path) -> tuple[dict[str, Any], dict[Place, int]]:
    """What the file says, and the line of each place. Raises SettingsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: expected UTF-8 text") from None
    lines: dict[Place, int] = {}
    try:
        data, again = _parsed(text, lines)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{path}{line}: expected YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{path}: expected YAML: {one_line(error)}") from None
    except RecursionError:
        raise SettingsError(f"{path}: expected YAML, got brackets nested too deep") from None
    if data is None:
        return {}, {}
    if not isinstance(data, dict):
        raise SettingsError(f"{path}:1: expected sections such as `web:`, got {type(data).__name__}")
    for key, line_number in again:
        raise SettingsError(f"{path}:{line_number}: {key}: expected once, got it again")
    return data, lines


def inline(text: str) -> object:
    """A list or map of a variable. Raises ValueError."""
    try:
        return _parsed(text, {})[0]
    except (yaml.YAMLError, RecursionError):
        raise ValueError("expected a YAML list or map") from None


def _parsed(text: str, lines: dict[Place, int]) -> tuple[Any, list[tuple[str, int]]]:
    """The values, and the keys that stand twice in one map with their lines; fills `lines`."""
    loader = _TextNumbers(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, []
        # Before the values are made: that dissolves merge keys (`<<`) in the nodes.
        again = list(_remember_lines(node, (), lines, set()))
        return loader.construct_document(node), again
    finally:
        loader.dispose()


def _remember_lines(
    node: yaml.Node | None, place: Place, lines: dict[Place, int], seen: set[int]
) -> Iterator[tuple[str, int]]:
    """Fill `lines`; yields (key, line) of keys that stand twice. A node that aliases repeat is looked at once."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if (*place, key.value) in lines:
                yield ".".join(map(str, (*place, key.value))), key.start_mark.line + 1
            lines[(*place, key.value)] = key.start_mark.line + 1
            yield from _remember_lines(value, (*place, key.value), lines, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _remember_lines(value, (*place, number), lines, seen)
