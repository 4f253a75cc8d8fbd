"""For all tests: names that are the same everywhere, no judgement on speed, and golden files.

Golden files are expected texts under tests/golden, rewritten by one flag.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

GOLDEN = Path(__file__).parent / "golden"

# A busy machine is no fault of the code.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what came out into tests/golden")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes get no part in a test's name: they may hold a time, and all workers must find the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: text must equal tests/golden/NAME; `pytest --update-golden` writes it there."""
    update = bool(request.config.getoption("--update-golden"))
    test = request.node.nodeid

    def compare(name: str, text: str) -> None:
        file = GOLDEN / name
        command = f"to accept what came: pytest --update-golden '{test}'"
        if update:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            return
        assert file.exists(), f"tests/golden/{name} does not exist; {command}"
        expected = file.read_text(encoding="utf-8")
        if text != expected:
            lines = difflib.unified_diff(expected.splitlines(), text.splitlines(), name, "what came", n=1, lineterm="")
            pytest.fail("\n".join([f"differs from tests/golden/{name}; {command}", *islice(lines, 60)]), pytrace=False)

    return compare
