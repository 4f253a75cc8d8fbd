"""What CloudWatch does to a source on bad days: nothing is lost, nothing counted twice, what is wrong is said."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from fleetwatch.aws import Account
from fleetwatch.catalogue import ai_services, exporter
from fleetwatch.catalogue.metric import Metric
from fleetwatch.collect.ai_services import _source
from fleetwatch.collect.ai_services._state import CATCH_UP
from fleetwatch.collect.ai_services.bedrock import Bedrock
from fleetwatch.collect.ai_services.bedrock_agents import BedrockAgents
from fleetwatch.collect.ai_services.textract import Textract
from fleetwatch.collect.here import AiServices
from fleetwatch.collect.runner import KEPT_CYCLES, Runner, Source
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from support_aws import NOW, Watched, each_minute, own_identity
from support_cloudwatch import BAD_TOKEN, EXPIRED, OWN_ACCOUNT, THROTTLED, CloudWatch, denied

OK = {"outcome": "ok"}


def started(cloud: CloudWatch, state: Path | None = None, minutes: int = 60, **more: object) -> Watched:
    """A model that is called 10 times a minute for an hour; watched from the third minute on."""
    for region in more.get("regions", ("eu-west-1",)):  # type: ignore[attr-defined]  # names of regions
        cloud.put("Invocations", each_minute(10, minutes), ModelId="m", region=region)
    watched = Watched(Bedrock, cloud, state, **more)  # type: ignore[arg-type]  # passed on
    watched.look(180)
    return watched


def test_each_period_is_counted_once_however_often_it_is_looked_at(cloud: CloudWatch) -> None:
    watched = started(cloud)
    for _ in range(31):
        watched.look(37)
    # 31 x 37 s after the start, without the three minutes that are still too young: 19 whole minutes.
    watched.look()
    assert watched.value(ai_services.REQUESTS, **OK) == (3 * 60 + 31 * 37 - 180) // 60 * 10


def test_what_comes_late_is_counted(cloud: CloudWatch) -> None:
    watched = started(cloud)
    cloud.late = 1500
    cloud.put("Invocations", {NOW + 200: [1] * 7}, ModelId="m")
    watched.look(600)
    watched.look()
    before = watched.value(ai_services.REQUESTS, **OK)
    watched.look(1200)
    assert before == 100
    assert watched.value(ai_services.REQUESTS, **OK) == 300 + 7


def test_many_pages_are_put_together(cloud: CloudWatch) -> None:
    cloud.page = 3
    for number in range(8):
        cloud.put("Invocations", each_minute(2, 60), ModelId=f"m{number}")
    watched = Watched(Bedrock, cloud)
    watched.look(180)
    watched.look(600)
    watched.look()
    assert watched.failure is None
    assert watched.total(ai_services.REQUESTS, **OK) == 8 * 10 * 2
    assert cloud.count("ListMetrics") > 4


def test_a_throttled_attempt_is_repeated_and_counted_and_no_failure(cloud: CloudWatch) -> None:
    watched = started(cloud)
    cloud.refuse["*", "GetMetricData"] = [THROTTLED, None]
    watched.look(600)
    assert watched.failure is None
    assert watched.total(exporter.API_REQUESTS, operation="GetMetricData", outcome="throttled") == 1


def test_throttling_that_lasts_is_a_failure_that_loses_nothing(cloud: CloudWatch) -> None:
    watched = started(cloud)
    cloud.refuse["*", "GetMetricData"] = [THROTTLED]
    watched.look(600)
    assert watched.failure is not None
    assert "Rate exceeded" in str(watched.failure)
    assert watched.failure.denied == []
    assert watched.total(exporter.API_REQUESTS, operation="GetMetricData", outcome="throttled") == 2
    cloud.refuse.clear()
    watched.look(300)
    assert watched.failure is None
    watched.look()
    assert watched.value(ai_services.REQUESTS, **OK) == 150


def test_a_part_that_fails_is_caught_up_with(cloud: CloudWatch) -> None:
    watched = started(cloud)
    cloud.put("InputTokenCount", each_minute(100, 60), ModelId="m")
    cloud.partly["InputTokenCount"] = "InternalError"
    watched.look(600)
    assert "InternalError for InputTokenCount" in str(watched.failure)
    # The others' values are shown; up to when all was read is not moved.
    assert watched.value(ai_services.REQUESTS, **OK) == 100
    assert watched.value(ai_services.READ_UNTIL) == NOW + 180
    cloud.partly.clear()
    watched.look(300)
    watched.look()
    assert watched.failure is None
    assert watched.value(ai_services.TOKENS, kind="input") == 1500
    assert watched.value(ai_services.READ_UNTIL) == NOW + 1080


def test_what_fails_in_part_from_the_first_look_on_is_caught_up_with_and_has_an_age(cloud: CloudWatch) -> None:
    cloud.put("InputTokenCount", each_minute(100, 300), ModelId="m")
    cloud.partly["InputTokenCount"] = "InternalError"
    watched = started(cloud, minutes=300)
    watched.look(2 * 3600)
    assert watched.value(ai_services.READ_UNTIL) == NOW
    cloud.partly.clear()
    watched.look(300)
    watched.look()
    assert watched.value(ai_services.TOKENS, kind="input") == 125 * 100


@pytest.mark.parametrize("operation", ["ListMetrics", "GetMetricData"])
def test_a_missing_permission_is_named(cloud: CloudWatch, operation: str) -> None:
    cloud.put("Invocations", each_minute(1, 60), ModelId="m")
    cloud.refuse["*", operation] = [denied(f"cloudwatch:{operation}")]
    watched = Watched(Bedrock, cloud)
    watched.look(600)
    assert watched.failure is not None
    [missing] = watched.failure.denied
    assert missing.permission == f"cloudwatch:{operation}"
    assert f"Allow cloudwatch:{operation}" in missing.fix
    assert "eu-west-1" in missing.why


def test_where_listing_fails_what_is_known_is_read_on(cloud: CloudWatch) -> None:
    watched = started(cloud)
    cloud.refuse["*", "ListMetrics"] = [denied("cloudwatch:ListMetrics")]
    for _ in range(6):
        watched.look(600)
    assert watched.failure is not None
    assert [item.permission for item in watched.failure.denied] == ["cloudwatch:ListMetrics"]
    assert watched.value(ai_services.REQUESTS, **OK) == 600
    assert watched.value(ai_services.HEALTH, state="ok") == 1
    assert watched.value(ai_services.READ_UNTIL) == NOW + 3780


def test_what_stays_broken_for_days_takes_no_more_and_more_memory(cloud: CloudWatch) -> None:
    watched = started(cloud, minutes=3 * 24 * 60)
    cloud.partly["InvocationServerErrors"] = "InternalError"
    for _ in range(12):
        watched.look(6 * 3600)
    [state] = [item for item in (watched.source._states or {}).values() if item.service == "bedrock"]
    longest = max(len(recent) for *_, recent in state.counts.dump())
    assert CATCH_UP / 60 <= longest <= CATCH_UP / 60 + 5
    # All that was read is counted all the same.
    assert watched.value(ai_services.REQUESTS, **OK) == 12 * 6 * 60 * 10


def test_a_forbidden_metric_is_a_missing_permission(cloud: CloudWatch) -> None:
    watched = started(cloud)
    cloud.partly["Invocations"] = "Forbidden"
    watched.look(600)
    assert watched.failure is not None
    assert [item.permission for item in watched.failure.denied] == ["cloudwatch:GetMetricData"]


def test_expired_credentials_say_so_and_leave_the_last_values_for_a_while(cloud: CloudWatch) -> None:
    watched = started(cloud)
    watched.look(600)
    cloud.refuse["*", "ListMetrics"] = cloud.refuse["*", "GetMetricData"] = [EXPIRED]
    for failed in range(1, KEPT_CYCLES + 2):
        watched.look(300)
        assert "renew them" in str(watched.failure)
        assert watched.value(ai_services.REQUESTS, **OK) == 100
        assert watched.value(ai_services.READ_UNTIL) == NOW + 780
        kept = watched.value(ai_services.HEALTH, state="ok")
        assert kept == (1 if failed <= KEPT_CYCLES else None)


def test_a_region_that_is_off_hurts_only_itself(cloud: CloudWatch) -> None:
    regions = ("eu-west-1", "me-south-1")
    watched = started(cloud, regions=regions)
    cloud.refuse["me-south-1", "ListMetrics"] = cloud.refuse["me-south-1", "GetMetricData"] = [BAD_TOKEN]
    watched.look(600)
    watched.look()
    assert "me-south-1" in str(watched.failure)
    assert "eu-west-1" not in str(watched.failure)
    assert "take it out of aws.regions" in str(watched.failure)
    assert watched.value(ai_services.REQUESTS, region="eu-west-1", **OK) == 100
    assert watched.value(ai_services.REQUESTS, region="me-south-1", **OK) == 0


def test_a_region_that_hangs_hurts_only_itself(cloud: CloudWatch) -> None:
    watched = started(cloud, regions=("eu-west-1", "us-east-1"), timeout=0.3, attempts=1)
    cloud.silent.add("us-east-1")
    watched.look(600)
    watched.look()
    assert "Read timeout" in str(watched.failure)
    assert watched.value(ai_services.REQUESTS, region="eu-west-1", **OK) == 100
    cloud.silent.clear()
    watched.look(300)
    watched.look()
    assert watched.failure is None
    assert watched.value(ai_services.REQUESTS, region="us-east-1", **OK) == 150


def test_a_region_that_hangs_for_hours_takes_one_thread_and_no_more(
    cloud: CloudWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that drips byte by byte meets no time-out of a socket."""
    watched = started(cloud, regions=("us-east-1", "eu-west-1"), timeout=30.0, attempts=1)
    cloud.silent.add("us-east-1")
    monkeypatch.setattr(_source, "PATIENCE", 0.5)
    before = {thread.ident for thread in threading.enumerate()}
    for _ in range(4):
        watched.look(150)
        assert "us-east-1: no answer within 0.5 s" in str(watched.failure)
    ours = [item for item in threading.enumerate() if item.ident not in before and item.name.startswith("aws ")]
    assert len(ours) == 1
    assert watched.value(ai_services.REQUESTS, region="eu-west-1", **OK) == (180 + 600 - 180) // 60 * 10


def test_counters_are_put_away_whole_and_for_the_owner_alone(cloud: CloudWatch, tmp_path: Path) -> None:
    started(cloud, tmp_path)
    [file] = tmp_path.glob("[!.]*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".bedrock-*"))


def test_an_account_that_cannot_be_entered_hurts_only_itself(cloud: CloudWatch) -> None:
    accounts = (Account("own"), Account("other", "arn:aws:iam::444455556666:role/fleetwatch"))
    cloud.put("Invocations", each_minute(3, 60), ModelId="m", account="444455556666")
    cloud.refuse["*", "AssumeRole"] = [denied("sts:AssumeRole")]
    watched = started(cloud, accounts=accounts)
    assert watched.failure is not None
    assert [item.permission for item in watched.failure.denied] == ["sts:AssumeRole"]
    cloud.refuse.clear()
    watched.look(600)
    watched.look(600)
    watched.look()
    assert watched.failure is None
    assert watched.value(ai_services.REQUESTS, account="own", **OK) == 200
    # From the first look on, though that one was turned away.
    assert watched.value(ai_services.REQUESTS, account="other", **OK) == 60


def test_a_role_s_credentials_that_end_are_renewed_between_looks(cloud: CloudWatch) -> None:
    accounts = (Account("other", "arn:aws:iam::444455556666:role/fleetwatch"),)
    cloud.put("Invocations", each_minute(3, 200), ModelId="m", account="444455556666")
    watched = Watched(Bedrock, cloud, accounts=accounts)
    watched.look(180)
    for _ in range(3):
        watched.look(3000)
        assert watched.failure is None
    assert cloud.count("AssumeRole") == 4


def test_without_a_known_region_the_setting_is_named(cloud: CloudWatch) -> None:
    watched = Watched(Bedrock, cloud, regions=())
    watched.look()
    assert "Set aws.regions" in str(watched.failure)


def test_a_restart_goes_on_and_catches_up(cloud: CloudWatch, tmp_path: Path) -> None:
    watched = started(cloud, tmp_path)
    watched.look(600)
    assert watched.value(ai_services.REQUESTS, **OK) == 100
    watched.restart()
    # Down for twenty minutes, in which 10 calls a minute were made.
    watched.look(1200)
    assert watched.failure is None
    assert watched.value(ai_services.REQUESTS, **OK) == 300


def test_a_region_that_the_settings_do_not_name_any_more_is_gone_after_a_restart(
    cloud: CloudWatch, tmp_path: Path
) -> None:
    watched = started(cloud, tmp_path, regions=("eu-west-1", "us-east-1"))
    watched.look(600)
    assert watched.value(ai_services.REQUESTS, region="us-east-1", **OK) == 100
    fewer = Watched(Bedrock, cloud, tmp_path, regions=("eu-west-1",))
    fewer.look(300)
    assert fewer.value(ai_services.REQUESTS, region="eu-west-1", **OK) == 150
    assert fewer.total(ai_services.READ_UNTIL, region="us-east-1") == 0


def test_after_a_long_time_down_a_day_is_caught_up_with(cloud: CloudWatch, tmp_path: Path) -> None:
    watched = started(cloud, tmp_path, minutes=3 * 24 * 60)
    watched.restart()
    watched.look(2 * CATCH_UP)
    assert watched.failure is None
    # The span begins with a whole five minutes, and ends with what is old enough to be counted.
    assert watched.value(ai_services.REQUESTS, **OK) == (CATCH_UP / 60 + 3 - 3) * 10


def test_a_model_that_is_not_in_use_any_more_after_hours_down_is_caught_up_with(
    cloud: CloudWatch, tmp_path: Path
) -> None:
    watched = started(cloud, tmp_path, minutes=30)
    watched.restart()
    watched.look(10 * 3600)
    assert watched.value(ai_services.REQUESTS, **OK) == 300


def test_a_clock_that_was_ahead_is_said_and_nothing_is_counted_twice(cloud: CloudWatch, tmp_path: Path) -> None:
    watched = started(cloud, tmp_path, minutes=300)
    watched.look(600)
    watched.look(3 * 3600)
    ahead = watched.value(ai_services.REQUESTS, **OK)
    watched.look(-2 * 3600)
    assert "was read until 2027-01-15T11:13Z, and this machine's clock says 2027-01-15T09:13Z" in str(watched.failure)
    assert f"remove {tmp_path / 'bedrock.json'}" in str(watched.failure)
    assert cloud.wrong == []
    assert watched.value(ai_services.REQUESTS, **OK) == ahead
    watched.look(2 * 3600 + 300)
    watched.look()
    assert watched.failure is None
    assert watched.value(ai_services.REQUESTS, **OK) == (180 + 600 + 3 * 3600 + 300 - 180) // 60 * 10


def test_after_a_region_that_did_not_answer_for_one_service_the_next_is_not_asked(cloud: CloudWatch) -> None:
    watched = Watched(Bedrock, cloud, timeout=0.3, attempts=1, accounts=(Account("own"),))
    cloud.silent.add("eu-west-1")
    watched.look(180)
    assert watched.total(exporter.API_REQUESTS, outcome="unreachable") == 1
    assert str(watched.failure).count("Read timeout") == 1


@pytest.mark.parametrize(
    "held", ["", "{", "[]", '{"version": 9, "states": []}', '{"version": 1, "states": [{"a": 1}]}']
)
def test_a_damaged_file_begins_anew(
    cloud: CloudWatch, tmp_path: Path, held: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bedrock.json").write_text(held)
    watched = started(cloud, tmp_path)
    watched.look(600)
    assert watched.failure is None
    assert watched.value(ai_services.REQUESTS, **OK) == 100
    assert "bedrock.json" in caplog.text
    assert json.loads((tmp_path / "bedrock.json").read_text())["version"] == 1


def test_counters_that_cannot_be_kept_are_said_and_shown(cloud: CloudWatch, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    watched = started(cloud, tmp_path / "a file" / "no folder")
    assert "cannot be kept over a restart" in str(watched.failure)
    watched.look(600)
    assert watched.value(ai_services.REQUESTS, **OK) == 100


def test_a_model_that_is_new_is_counted_from_its_first_call(cloud: CloudWatch) -> None:
    watched = started(cloud)
    # CloudWatch lists it, and tells its values, a quarter of an hour late.
    cloud.late = 900
    cloud.put("Invocations", each_minute(1, 30, since=NOW + 600), ModelId="new")
    shown = []
    for _ in range(12):
        watched.look(300)
        shown.append(watched.value(ai_services.REQUESTS, resource="new", **OK))
    # Nothing, then 0 that Prometheus can see, then all that was called.
    assert shown[:6] == [None] * 5 + [0]
    assert shown[-1] == 30


def test_the_first_failure_is_one_before_it_is_listed(cloud: CloudWatch) -> None:
    watched = started(cloud)
    watched.look(300)
    cloud.put("InvocationServerErrors", {NOW + 500: [1] * 4}, ModelId="m")
    listed = cloud.count("ListMetrics")
    watched.look(240)
    assert cloud.count("ListMetrics") == listed
    # Nine minutes are old enough, and the failure is in the ninth.
    assert watched.value(ai_services.REQUESTS, outcome="server_error") == 4
    assert watched.value(ai_services.REQUESTS, **OK) == 9 * 10 - 4


def test_calls_that_get_finer_names_are_not_counted_again(cloud: CloudWatch) -> None:
    space = {"namespace": "AWS/Bedrock/Agents", "Operation": "InvokeAgent"}
    cloud.put("InvocationCount", each_minute(10, 60), **space)
    watched = Watched(BedrockAgents, cloud)
    watched.look(180)
    watched.look(600)
    # From now on the same calls are listed by alias, too, with all their past.
    cloud.put(
        "InvocationCount", each_minute(10, 60), **space, ModelId="m", AgentAliasArn="arn:aws:bedrock:e:1:agent-alias/A"
    )
    for _ in range(4):
        watched.look(300)
    minutes = (180 + 600 + 4 * 300 - 180) // 60
    assert minutes * 10 - 30 <= watched.total(ai_services.REQUESTS, **OK) <= minutes * 10


def test_errors_that_come_after_their_calls_do_not_make_them_more(cloud: CloudWatch) -> None:
    """`Invocations` have failed calls among them: a call that was counted as good could not be taken back."""
    watched = started(cloud)
    cloud.late = 100
    cloud.put("InvocationServerErrors", each_minute([1] * 4, 60), ModelId="m")
    for _ in range(40):
        watched.look(30)
    watched.look()
    assert watched.value(ai_services.REQUESTS, **OK) == 20 * 6
    assert watched.value(ai_services.REQUESTS, outcome="server_error") == 20 * 4


def test_a_service_that_falls_silent_has_no_data_and_keeps_its_counters(cloud: CloudWatch) -> None:
    watched = started(cloud, minutes=10)
    watched.look(600)
    watched.look(3600)
    assert watched.value(ai_services.HEALTH, state="no_data") == 1
    assert watched.value(ai_services.REQUESTS, **OK) == 100
    # After three hours CloudWatch does not list it any more.
    watched.look(4 * 3600)
    assert watched.value(ai_services.HEALTH, state="no_data") == 1
    assert watched.value(ai_services.REQUESTS, **OK) == 100


def test_a_model_that_nobody_calls_any_more_is_forgotten_and_makes_room(
    cloud: CloudWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Twice a day stands for every five minutes here, and is no outage.
    monkeypatch.setattr(_source, "RECENTLY", 2 * 86_400)
    cloud.put("Invocations", each_minute(1, 10), ModelId="old")
    for day in range(9):
        cloud.put("Invocations", each_minute(1, 20, since=NOW + 86_400 * day), ModelId="used")
        cloud.put("Invocations", each_minute(1, 20, since=NOW + 86_400 * day), ModelId="waits")
    cloud.put("Invocations", each_minute(1, 20, since=NOW + 86_400 * 8 + 600), ModelId="young")
    watched = Watched(Bedrock, cloud, settings=AiServices(limits={"resource": 3}))
    watched.look(180)
    for _ in range(8):
        watched.look(600)
        watched.look(86_400 - 600)
        shown = {sample.labels[1] for sample in watched.samples if sample.metric is ai_services.REQUESTS}
        assert shown == {"old", "used", "_other"} or watched.cloud.now > NOW + 7 * 86_400
    watched.look(600)
    watched.look(60)
    shown = {sample.labels[1] for sample in watched.samples if sample.metric is ai_services.REQUESTS}
    # What has been counted among the others stays there: it would be counted twice.
    assert shown == {"used", "young", "_other"}


def test_the_own_account_is_shown_by_its_number(cloud: CloudWatch) -> None:
    assert started(cloud).value(ai_services.REQUESTS, account=OWN_ACCOUNT, **OK) == 0


def test_through_the_runner_a_missing_permission_is_a_metric_and_old_values_have_an_age(
    cloud: CloudWatch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own_identity(monkeypatch, tmp_path)
    cloud.put("SuccessfulRequestCount", each_minute(5, 60), namespace="AWS/Textract", Operation="DetectText")
    watched = Watched(Textract, cloud)
    meter = Meter(implied={"host_name": "h"})
    item = Source("textract", 300.0, 30.0, watched.source)
    runner = Runner([item], meter, clock=lambda: cloud.now)

    def shown(metric: Metric) -> list[str]:
        name = metric.prometheus
        lines = exposition(meter, openmetrics=False).splitlines()
        return [line for line in lines if line.startswith((name + "{", name + " "))]

    async def cycles() -> None:
        cloud.now += 180
        await runner.cycle(item)
        cloud.now += 600
        await runner.cycle(item)
        assert shown(exporter.COLLECTOR_DENIED) == []
        cloud.refuse["*", "GetMetricData"] = [denied("cloudwatch:GetMetricData")]
        cloud.now += 300
        await runner.cycle(item)

    asyncio.run(cycles())
    place = 'host_name="h",collector="textract"'
    assert shown(exporter.COLLECTOR_DENIED) == [
        f'fleetwatch_collector_denied{{{place},permission="cloudwatch:GetMetricData"}} 1'
    ]
    assert shown(exporter.COLLECTOR_SUCCESS) == [f"fleetwatch_collector_success{{{place}}} 0"]
    [last] = shown(exporter.COLLECTOR_LAST_SUCCESS)
    assert float(last.split()[-1]) == NOW + 780
    assert any('outcome="ok"} 50' in line for line in shown(ai_services.REQUESTS))
    [until] = shown(ai_services.READ_UNTIL)
    assert float(until.split()[-1]) == NOW + 780
