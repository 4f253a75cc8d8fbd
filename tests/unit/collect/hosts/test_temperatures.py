"""Sensors are named by their device, and one without a reading is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.catalogue import hosts
from fleetwatch.collect import Here, NoData
from fleetwatch.collect.hosts.temperatures import temperatures
from support_machines import collected, machine, values


def chip(here: Here, number: int, device: str, name: str, **files: str) -> None:
    folder = here.sys / f"class/hwmon/hwmon{number}"
    folder.mkdir(parents=True)
    for file, content in {"name": name, **files}.items():
        (folder / file).write_text(content + "\n")
    if device:
        (here.sys / "devices" / device).mkdir(parents=True, exist_ok=True)
        (folder / "device").symlink_to(f"../../../devices/{device}")


def test_a_machine_without_sensors_has_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(NoData):
        temperatures(Here(sys=tmp_path))


def test_names_do_not_depend_on_the_order_of_drivers(tmp_path: Path) -> None:
    here = machine("gpu-server", tmp_path)
    before = values(temperatures(here), hosts.TEMPERATURE)
    folder = here.sys / "class/hwmon"
    (folder / "hwmon2").rename(folder / "hwmon9")
    assert values(temperatures(here), hosts.TEMPERATURE) == before
    assert before["nvme0/Composite",] == 41.85


def test_cores_are_left_out_where_their_package_is_shown(tmp_path: Path) -> None:
    here = Here(sys=tmp_path)
    chip(
        here,
        0,
        "coretemp.0",
        "coretemp",
        temp1_input="50000",
        temp1_label="Package id 0",
        temp2_input="50000",
        temp2_label="Core 0",
    )
    chip(
        here,
        1,
        "0000:00:18.3",
        "k10temp",
        temp1_input="61125",
        temp1_label="Tctl",
        temp3_input="48500",
        temp3_label="Tccd1",
    )
    chip(here, 2, "", "cpu_thermal", temp1_input="-3500")
    assert values(temperatures(here), hosts.TEMPERATURE) == {
        ("coretemp.0/Package id 0",): 50,
        ("k10temp-0000:00:18.3/Tctl",): 61.125,
        ("k10temp-0000:00:18.3/Tccd1",): 48.5,
        ("cpu_thermal/temp1",): -3.5,
    }


def test_sensors_with_the_same_label_stay_apart(tmp_path: Path) -> None:
    here = Here(sys=tmp_path)
    chip(here, 0, "nct.656", "nct", temp1_input="1000", temp1_label="PECI", temp2_input="2000", temp2_label="PECI")
    assert values(temperatures(here), hosts.TEMPERATURE) == {("nct.656/PECI temp1",): 1, ("nct.656/PECI temp2",): 2}


def test_a_sensor_that_fails_hurts_only_itself(tmp_path: Path) -> None:
    here = machine("gpu-server", tmp_path)
    folder = here.sys / "class/hwmon"
    (folder / "hwmon0/temp1_input").write_text("hot\n")
    # What a switched off device has: a file whose reading fails.
    (folder / "hwmon2/temp1_input").unlink()
    (folder / "hwmon2/temp1_input").mkdir()
    (folder / "hwmon3/temp1_fault").write_text("1\n")
    found, failed = collected(temperatures(here))
    assert values(found, hosts.TEMPERATURE).keys() == {
        ("coretemp.1/Package id 1",),
        ("nvme0/Sensor 1",),
        ("nvme1/Sensor 1",),
        ("thermal_zone0/acpitz",),
    }
    assert failed == f"{folder}/hwmon0/temp1_input: expected thousandths of a degree, got 'hot'"
