"""Temperatures of the machine's sensors.

hw_temperature_celsius{hw_id="coretemp.0/Package id 0"} 54
hw_temperature_celsius{hw_id="nvme0/Composite"} 41.85
hw_temperature_celsius{hw_id="thermal_zone0/acpitz"} 27.8

The numbers of hwmon folders change from boot to boot, so a sensor is named by its device. Formats:
Documentation/hwmon/sysfs-interface.rst and Documentation/driver-api/thermal/sysfs-api.rst of the Linux kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._read import each, parts, text
from fleetwatch.collect.runner import NoData, source


@source(interval=15)
def temperatures(here: Here) -> Iterator[Sample]:
    chips = _listed(f"{here.sys}/class/hwmon")
    zones = [path for path in _listed(f"{here.sys}/class/thermal") if "/thermal_zone" in path]
    if not chips and not zones:
        raise NoData
    return parts(lambda: each(chips, chip), lambda: each(zones, zone))


def chip(folder: str) -> Iterator[Sample]:
    """A hwmon chip. The cores of a processor are left out where its package is shown: that is the hottest of them."""
    device = _device(folder)
    if device.startswith("thermal_zone"):  # shown as a zone
        return
    names = {
        name: _optional(f"{folder}/{name}_label") or name
        for name in (file.removesuffix("_input") for file in sorted(os.listdir(folder)) if _is_temperature(file))
    }
    if any(label.startswith("Package ") for label in names.values()):
        names = {name: label for name, label in names.items() if not label.startswith("Core ")}
    # Chips that give two sensors the same label are there.
    twice = {label for label in names.values() if list(names.values()).count(label) > 1}

    def sensor(name: str) -> Iterator[Sample]:
        label = f"{names[name]} {name}" if names[name] in twice else names[name]
        if _optional(f"{folder}/{name}_fault") != "1":
            yield from _celsius(f"{folder}/{name}_input", f"{device}/{label}")

    yield from each(names, sensor)


def zone(folder: str) -> Iterator[Sample]:
    return _celsius(f"{folder}/temp", f"{os.path.basename(folder)}/{text(f'{folder}/type')}")


def _celsius(path: str, sensor: str) -> Iterator[Sample]:
    """The reading of a file in thousandths of a degree."""
    try:
        found = text(path)
    except PermissionError:
        raise
    except OSError:
        # So a driver says that there is no reading: the device sleeps, is switched off or has just been removed.
        return
    try:
        value = int(found)
    except ValueError:
        raise ValueError(f"{path}: expected thousandths of a degree, got {found[:40]!r}") from None
    yield hosts.TEMPERATURE(value / 1e3, hw_id=sensor)


def _device(folder: str) -> str:
    """What the chip is part of, such as coretemp.0, nvme0 or k10temp-0000:00:18.3; else its own name."""
    name = _optional(f"{folder}/name") or os.path.basename(folder)
    device = os.path.basename(os.path.realpath(f"{folder}/device")) if os.path.exists(f"{folder}/device") else name
    return device if device.startswith((name, "thermal_zone")) else f"{name}-{device}"


def _is_temperature(file: str) -> bool:
    return file.startswith("temp") and file.endswith("_input")


def _optional(path: str) -> str:
    try:
        return text(path)
    except OSError:
        return ""


def _listed(folder: str) -> list[str]:
    """The entries of a folder, sorted; none where there is no such folder."""
    try:
        return [f"{folder}/{name}" for name in sorted(os.listdir(folder))]
    except FileNotFoundError:
        return []
