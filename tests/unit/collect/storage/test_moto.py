"""Against moto: volumes, snapshots, images and templates that other people's reading of EC2 has made."""

from __future__ import annotations

from fleetwatch.catalogue import storage
from fleetwatch.collect.storage.snapshots import Snapshots
from fleetwatch.collect.storage.volumes import Volumes
from support_ec2 import Ec2
from support_storage import DAY, Watched


def test_what_is_made_is_seen(ec2: Ec2) -> None:
    client = ec2.client("ec2")
    zone = {"AvailabilityZone": "us-east-1a"}
    client.create_volume(Size=100, VolumeType="gp3", **zone)
    io2 = client.create_volume(Size=10, VolumeType="io1", Iops=500, **zone)["VolumeId"]
    lost = client.create_snapshot(VolumeId=io2)["SnapshotId"]
    # moto takes a snapshot of its own for it, of a volume that is not there.
    image = client.register_image(Name="base", RootDeviceName="/dev/sda1")["ImageId"]
    client.create_launch_template(LaunchTemplateName="web", LaunchTemplateData={"ImageId": image})
    client.delete_volume(VolumeId=io2)
    volumes, snapshots = Watched(Volumes, ec2), Watched(Snapshots, ec2)
    for watched in (volumes, snapshots):
        watched.look()
    volumes.look(8 * DAY)
    snapshots.look()
    assert (volumes.failure, snapshots.failure) == (None, None)
    assert volumes.value(storage.WASTE) == 8
    assert volumes.value(storage.RESOURCES) == 1
    assert snapshots.value(storage.RESOURCES) == 2
    assert snapshots.values(storage.TOP_COST, resource=lost) == [0.5]
    assert snapshots.value(storage.WASTE_RESOURCES) == 1
