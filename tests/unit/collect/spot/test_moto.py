"""Against moto's EC2: another reading of the same API by other people."""

from __future__ import annotations

import datetime
import time

import botocore.session

from fleetwatch.aws import Access
from fleetwatch.aws.session import Aws
from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect import Here
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.spot.ec2_fleet import Ec2Fleet

REGION, NUMBER = "us-east-1", "123456789012"


def test_machines_that_were_started_and_ended_there_are_told_as_they_are(moto: str) -> None:
    client = botocore.session.Session().create_client("ec2", region_name=REGION, endpoint_url=moto)

    def run(count: int, tags: dict[str, str], **more: object) -> list[str]:
        named = [{"Key": key, "Value": value} for key, value in tags.items()]
        answer = client.run_instances(
            ImageId="ami-12345678",
            MinCount=count,
            MaxCount=count,
            InstanceType="m7g.large",
            Placement={"AvailabilityZone": "us-east-1b"},
            TagSpecifications=[{"ResourceType": "instance", "Tags": named}],
            **more,
        )
        return [item["InstanceId"] for item in answer["Instances"]]

    began = time.time()
    spot = run(3, {"team": "search", "workload": "indexer"}, InstanceMarketOptions={"MarketType": "spot"})
    [plain] = run(1, {"fleetwatch.io/on-demand": "true"})
    client.terminate_instances(InstanceIds=spot[:1])
    here = Here(aws=Aws(Access(regions=(REGION,), endpoint_url=moto, attempts=1)), spot=SpotAccess())
    list(Ec2Fleet(here)())
    [zone] = [
        item["ZoneId"]
        for item in client.describe_availability_zones()["AvailabilityZones"]
        if item["ZoneName"] == "us-east-1b"
    ]
    fleet = here.desk.fleets[NUMBER, REGION]
    found = {item.id: item for item in fleet.instances}
    assert set(found) == {*spot, plain}
    assert {item.pool for item in fleet.instances} == {(NUMBER, REGION, zone, "m7g.large", "Linux/UNIX")}
    assert [found[name].lifecycle for name in spot] == ["spot"] * 3
    assert (found[plain].lifecycle, found[plain].forced, found[plain].vcpus) == ("on_demand", True, 2)
    assert [found[name].state for name in spot] == ["terminated", "running", "running"]
    ended = found[spot[0]].ended
    assert ended is not None
    assert began - 1 <= ended / NANO <= datetime.datetime.now(datetime.UTC).timestamp() + 1
    assert found[spot[0]].ended_why == "Client.UserInitiatedShutdown"
    assert all(began - 1 <= item.launched / NANO <= began + 60 for item in fleet.instances)
