"""The shipped configuration files, rendered for other addresses, links and secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetwatch.places import PROJECT
from fleetwatch.settings import Settings, load
from fleetwatch.stack import StackError
from fleetwatch.stack.render import COMPOSE, DEFAULTS, Targets, keep_secret, render


def settings(tmp_path: Path, **environ: str) -> Settings:
    return load(
        None, {"FLEETWATCH_DATA_DIR": str(tmp_path), **{f"FLEETWATCH_{key}": value for key, value in environ.items()}}
    )


def rendered(tmp_path: Path, chosen: Settings, targets: Targets = DEFAULTS, *, webhook_files: bool = True) -> Path:
    render(chosen, targets, tmp_path / "out", webhook_files=webhook_files)
    return tmp_path / "out"


def read(file: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(file.read_text())
    return data


def jobs(out: Path) -> dict[str, list[str]]:
    found = read(out / "prometheus" / "prometheus.yml")["scrape_configs"]
    return {
        job["job_name"]: [target for group in job["static_configs"] for target in group["targets"]] for job in found
    }


def receivers(out: Path) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in read(out / "alertmanager" / "alertmanager.yml")["receivers"]}


def test_with_defaults_the_files_say_what_the_repository_says(tmp_path: Path) -> None:
    out = rendered(tmp_path, settings(tmp_path))
    shipped = read(PROJECT / "prometheus" / "prometheus.yml")
    assert read(out / "prometheus" / "prometheus.yml") == shipped
    for file in (PROJECT / "prometheus" / "alerts").glob("*.yml"):
        assert (out / "prometheus" / "alerts" / file.name).read_text() == file.read_text()


def test_containers_are_scraped_by_their_names(tmp_path: Path) -> None:
    out = rendered(tmp_path, settings(tmp_path), COMPOSE)
    assert jobs(out) == {
        "fleetwatch": ["fleetwatch:9464"],
        "prometheus": ["prometheus:9090"],
        "alertmanager": ["alertmanager:9093"],
        "otel-collector": ["otel-collector:8888"],
        "grafana": ["grafana:3000"],
    }
    assert "127.0.0.1" not in str(read(out / "prometheus" / "prometheus.yml")["alerting"])


def test_a_program_that_does_not_run_is_not_scraped_for_ever(tmp_path: Path) -> None:
    out = rendered(tmp_path, settings(tmp_path), DEFAULTS._replace(collector=None, grafana=None, alertmanager=None))
    assert set(jobs(out)) == {"fleetwatch", "prometheus"}
    assert read(out / "prometheus" / "prometheus.yml")["alerting"] == {"alertmanagers": []}


def test_links_follow_a_listener_that_moved(tmp_path: Path) -> None:
    out = rendered(tmp_path, settings(tmp_path, STACK__GRAFANA_LISTEN="0.0.0.0:3999"))
    alerts = "".join(file.read_text() for file in (out / "prometheus" / "alerts").glob("*.yml"))
    assert "http://127.0.0.1:3999/d/" in alerts
    assert "127.0.0.1:3000" not in alerts


def test_links_that_are_set_win(tmp_path: Path) -> None:
    chosen = settings(tmp_path, LINKS__GRAFANA="https://boards.example.com/", STACK__GRAFANA_LISTEN="127.0.0.1:3999")
    out = rendered(tmp_path, chosen)
    alerts = "".join(file.read_text() for file in (out / "prometheus" / "alerts").glob("*.yml"))
    assert "https://boards.example.com/d/" in alerts
    assert "127.0.0.1:3999" not in alerts


def test_a_link_may_be_set_to_the_usual_address_although_the_listener_moved(tmp_path: Path) -> None:
    """A proxy on this machine may have the port that people know."""
    chosen = settings(tmp_path, LINKS__GRAFANA="http://127.0.0.1:3000", STACK__GRAFANA_LISTEN="127.0.0.1:3999")
    out = rendered(tmp_path, chosen)
    alerts = "".join(file.read_text() for file in (out / "prometheus" / "alerts").glob("*.yml"))
    assert "http://127.0.0.1:3000/d/" in alerts
    assert "127.0.0.1:3999" not in alerts


def test_without_secrets_no_receiver_would_fail(tmp_path: Path) -> None:
    """A receiver without entries is valid; one whose file is missing fails at every notification."""
    found = receivers(rendered(tmp_path, settings(tmp_path)))
    assert set(found) == {"page", "ticket", "board", "deadman"}
    assert all(set(item) == {"name"} for item in found.values())


def test_a_secret_becomes_an_absolute_path_in_every_receiver_that_uses_it(tmp_path: Path) -> None:
    secret = tmp_path / "hook.txt"
    secret.write_text("http://127.0.0.1:1/hook")
    found = receivers(rendered(tmp_path, settings(tmp_path, STACK__SLACK_URL_FILE=str(secret))))
    for name in ("page", "ticket"):
        assert [item["api_url_file"] for item in found[name]["slack_configs"]] == [str(secret)]
    assert "pagerduty_configs" not in found["page"]
    assert "http://127.0.0.1:1/hook" not in (tmp_path / "out" / "alertmanager" / "alertmanager.yml").read_text()


def test_an_empty_secret_means_not_used(tmp_path: Path) -> None:
    found = receivers(rendered(tmp_path, settings(tmp_path, STACK__SLACK_URL_FILE="/dev/null")))
    assert all(set(item) == {"name"} for item in found.values())


def test_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"nowhere\.txt: cannot be read"):
        rendered(tmp_path, settings(tmp_path, STACK__PAGERDUTY_KEY_FILE=str(tmp_path / "nowhere.txt")))


@pytest.mark.parametrize(("webhook_files", "kind"), [(True, "webhook_configs"), (False, "slack_configs")])
def test_the_dead_man_is_told_by_every_alertmanager(tmp_path: Path, kind: str, *, webhook_files: bool) -> None:
    secret = tmp_path / "deadman.txt"
    secret.write_text("http://127.0.0.1:1/ping")
    chosen = settings(tmp_path, STACK__DEADMAN_URL_FILE=str(secret))
    (entry,) = receivers(rendered(tmp_path, chosen, webhook_files=webhook_files))["deadman"][kind]
    assert str(secret) in entry.values()


def test_a_folder_without_the_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="run from a checkout"):
        render(settings(tmp_path), DEFAULTS, tmp_path / "out", source=tmp_path)


def test_rendering_again_replaces_everything(tmp_path: Path) -> None:
    out = rendered(tmp_path, settings(tmp_path))
    (out / "prometheus" / "alerts" / "old.yml").write_text("groups: []")
    rendered(tmp_path, settings(tmp_path))
    assert not (out / "prometheus" / "alerts" / "old.yml").exists()


def test_a_made_secret_stays_and_is_private(tmp_path: Path) -> None:
    file = keep_secret(tmp_path / "grafana" / "admin_password")
    first = file.read_text()
    assert len(first) >= 20
    assert file.stat().st_mode & 0o777 == 0o600
    assert keep_secret(file).read_text() == first
    assert keep_secret(tmp_path / "other").read_text() != first
