"""Rules for a Prometheus of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.stack.rules import groups


def test_a_program_without_its_checkout_says_so_and_prints_no_empty_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run from a checkout"):
        list(groups({}, tmp_path))


def test_links_are_replaced_and_every_file_has_groups() -> None:
    found = dict(groups({"http://127.0.0.1:9464": "https://example.test"}))
    assert {"hosts-rules", "hosts-alerts", "llm-alerts"} <= found.keys()
    assert all(found.values())
    links = [rule["annotations"]["runbook_url"] for group in found["hosts-alerts"] for rule in group["rules"]]
    assert all(link.startswith("https://example.test/runbooks/") for link in links)
