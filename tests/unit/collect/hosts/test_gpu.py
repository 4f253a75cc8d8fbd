"""GPUs as recorded from real drivers, through a replay of NVIDIA's library."""

from __future__ import annotations

import ctypes
import importlib
import inspect
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleetwatch.catalogue import hosts
from fleetwatch.collect import Here, NoData
from fleetwatch.collect.hosts import _nvml
from fleetwatch.collect.hosts.gpu import BIRTH_CYCLES, REASONS, SEARCH_CYCLES, Gpu, throttled
from fleetwatch.meter import Meter
from support_machines import collected, page, values
from support_nvml import FOLDER, Replay, pynvml


def source(replay: Replay, here: Here | None = None) -> Gpu:
    return Gpu(here or Here(), load=lambda _: replay)


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.json")))
def test_recorded_gpus(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"sources/gpu-{name}.prom", page(source(Replay(name))()))


def test_host_info_hears_of_the_gpus() -> None:
    here = Here()
    page(source(Replay("h100-two"), here)())
    assert here.facts == {"gpus": "2", "gpu_model": "NVIDIA H100 80GB HBM3"}


def test_units_are_those_of_the_catalogue() -> None:
    found = collected(source(Replay("h100-two"))())[0]
    assert values(found, hosts.GPU_POWER)["0",] == 631.95
    assert values(found, hosts.GPU_ENERGY)["0",] == pytest.approx(123456789.012)
    assert values(found, hosts.GPU_FREQUENCY)["0", "memory"] == 2.619e9
    assert values(found, hosts.GPU_UTILIZATION)["0", "general"] == 1
    assert values(found, hosts.GPU_ERRORS)["1", "corrected"] == 3


def test_instances_have_their_own_memory_and_profile() -> None:
    found = collected(source(Replay("h200-mig"))())[0]
    profiles = {labels[0]: labels[4] for labels in values(found, hosts.GPU_INFO)}
    assert profiles == {"0": "", "0/1": "3g.71gb", "0/9": "1g.18gb", "0/2/1": "1c.3g.71gb"}
    assert values(found, hosts.GPU_MEMORY_USAGE)["0/9",] == 2300575744
    assert values(found, hosts.GPU_UTILIZATION) == {}


def test_a_lost_gpu_hurts_only_itself() -> None:
    replay = Replay("h100-two")
    gpu = source(replay)
    page(gpu())
    replay.broken[0] = "NVML_ERROR_GPU_IS_LOST"
    samples, why = collected(gpu())
    assert why == "GPU 0: GPU is lost"
    assert {sample.labels[1] for sample in samples} == {"1"}


def test_a_gpu_lost_from_the_start_comes_back() -> None:
    replay = Replay("h100-two")
    replay.broken[0] = "NVML_ERROR_GPU_IS_LOST"
    gpu = source(replay)
    assert collected(gpu())[1] == "GPU 0: GPU is lost"
    replay.broken.clear()
    samples, why = collected(gpu())
    assert (len(values(samples, hosts.GPU_INFO)), why) == (2, "")


def test_an_xid_is_shown_as_zero_first_and_then_counted() -> None:
    replay = Replay("h100-two")
    gpu = source(replay)
    assert values(gpu(), hosts.GPU_XIDS) == {}
    replay.xids += [(1, 31), (1, 31), (0, 48)]
    for _ in range(BIRTH_CYCLES):
        assert values(gpu(), hosts.GPU_XIDS) == {("1", "31"): 0, ("0", "48"): 0}
    assert values(gpu(), hosts.GPU_XIDS) == {("1", "31"): 2, ("0", "48"): 1}
    replay.xids.append((1, 31))
    assert values(gpu(), hosts.GPU_XIDS)["1", "31"] == 3


def test_the_xid_of_a_gpu_that_falls_off_the_bus_is_counted() -> None:
    replay = Replay("h100-two")
    gpu = source(replay)
    page(gpu())
    replay.broken[0] = "NVML_ERROR_GPU_IS_LOST"
    replay.xids.append((0, 79))
    for _ in range(BIRTH_CYCLES):
        collected(gpu())
    samples, why = collected(gpu())
    assert values(samples, hosts.GPU_XIDS) == {("0", "79"): 1}
    assert why == "GPU 0: GPU is lost"


ALL_XIDS = [f"xid {number}" for number in range(1, 60)]


@given(st.lists(st.sampled_from(["look", "reload", "lose 0", "back", *ALL_XIDS]), max_size=150))
@example([*ALL_XIDS, *["look"] * (BIRTH_CYCLES + 1), "xid 99"])
def test_the_counts_of_xids_never_go_back(events: list[str]) -> None:
    """As a scrape shows them, whatever the driver does."""
    replay = Replay("h100-two")
    gpu, meter = source(replay), Meter()
    shown: dict[tuple[str, ...], float] = {}
    told = 0
    for event in [*events, *["back", "look"] * (BIRTH_CYCLES + 1)]:
        what, _, number = event.partition(" ")
        if what == "xid":
            replay.xids.append((int(number) % 2, int(number)))
            told += 1
        elif what == "lose":
            replay.broken[0] = "NVML_ERROR_GPU_IS_LOST"
        elif what == "back":
            replay.broken.clear()
        elif what == "reload":
            replay.reload_driver()
        else:
            meter.replace("gpu", collected(gpu())[0])
            found = values(meter.reported_by("gpu"), hosts.GPU_XIDS)
            assert all(found[key] >= value for key, value in shown.items())
            shown = found
    assert sum(shown.values()) <= told


def test_a_driver_loaded_anew_is_opened_anew_and_keeps_the_counts() -> None:
    replay = Replay("h100-two")
    gpu = source(replay)
    page(gpu())
    replay.xids.append((0, 31))
    for _ in range(BIRTH_CYCLES):
        page(gpu())
    replay.reload_driver()
    replay.xids.append((0, 31))
    found = collected(gpu())
    assert (values(found[0], hosts.GPU_XIDS), found[1]) == ({("0", "31"): 2}, "")
    assert replay.opened == 2


def test_a_driver_upgraded_under_us_says_what_to_do() -> None:
    replay = Replay("h100-two")
    gpu = source(replay)
    page(gpu())
    replay.down = "NVML_ERROR_LIB_RM_VERSION_MISMATCH"
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"the driver was upgraded.*restart this process"):
            page(gpu())
    replay.down = ""
    assert page(gpu())


@pytest.mark.parametrize("error", ["NVML_ERROR_DRIVER_NOT_LOADED", "NVML_ERROR_LIBRARY_NOT_FOUND"])
def test_without_a_driver_there_is_nothing_to_report_and_little_to_do(error: str) -> None:
    replay = Replay("h100-two")
    replay.down = error
    here = Here()
    gpu = source(replay, here)
    for _ in range(SEARCH_CYCLES):
        with pytest.raises(NoData):
            page(gpu())
    assert replay.calls == ["nvmlInit"]
    replay.down = ""
    assert page(gpu())


def test_a_driver_that_is_unloaded_is_forgotten() -> None:
    replay = Replay("h100-two")
    here = Here()
    gpu = source(replay, here)
    page(gpu())
    replay.down = "NVML_ERROR_DRIVER_NOT_LOADED"
    with pytest.raises(NoData):
        page(gpu())
    assert here.facts == {}


def test_a_driver_that_refuses_is_an_error() -> None:
    replay = Replay("h100-two")
    replay.down = "NVML_ERROR_NO_PERMISSION"
    with pytest.raises(RuntimeError, match="expected the driver to answer, got: Insufficient Permissions"):
        page(source(replay)())


def test_a_driver_without_gpus_has_nothing_to_report() -> None:
    replay = Replay("h100-two")
    replay.gpus = []
    with pytest.raises(NoData):
        page(source(replay)())


def test_older_drivers_are_asked_by_their_own_functions() -> None:
    new, old = Replay("rtx-2080"), Replay("rtx-2080")
    old.old = {"nvmlDeviceGetTemperatureV", "nvmlDeviceGetCurrentClocksEventReasons"}
    assert page(source(old)()) == page(source(new)())
    assert "nvmlDeviceGetCurrentClocksThrottleReasons" not in new.calls
    assert "nvmlDeviceGetTemperature" not in new.calls


def test_a_driver_that_does_not_tell_its_own_share_of_memory() -> None:
    replay = Replay("rtx-2080")
    replay.old = {"nvmlDeviceGetMemoryInfo_v2"}
    assert values(source(replay)(), hosts.GPU_MEMORY_USAGE) == {("0",): 858783744 + 427819008}


def test_a_machine_without_the_driver_never_imports_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail(f"opened {name}"))
    monkeypatch.setattr(importlib, "import_module", lambda name: pytest.fail(f"imported {name}"))
    assert _nvml.load(Here(proc=tmp_path, root=tmp_path)) is None


def test_a_driver_without_the_library_never_imports_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "driver/nvidia").mkdir(parents=True)
    (tmp_path / "driver/nvidia/version").touch()
    monkeypatch.setattr(_nvml, "_LIBRARY", "libnvidia-ml-that-is-not-here.so.1")
    monkeypatch.setattr(importlib, "import_module", lambda name: pytest.fail(f"imported {name}"))
    assert _nvml.load(Here(proc=tmp_path, root=tmp_path)) is None


def test_without_the_package_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: name)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert _nvml.load(Here(proc=tmp_path, root=tmp_path)) is None


def test_the_real_package_has_what_is_asked_for() -> None:
    """Codes and constants that are spelled as numbers are those of the package."""
    codes = {"NOT_SUPPORTED", "NO_PERMISSION", "NOT_FOUND", "FUNCTION_NOT_FOUND", "NO_DATA", "VGPU_ECC_NOT_SUPPORTED"}
    codes |= {"ARGUMENT_VERSION_MISMATCH", "DEPRECATED"}
    assert {getattr(pynvml, f"NVML_ERROR_{code}") for code in codes} == _nvml._LEFT_OUT
    assert {pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_DRIVER_NOT_LOADED} == _nvml._GONE
    assert {pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED} == _nvml._ABSENT
    assert (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, pynvml.NVML_ERROR_TIMEOUT) == (_nvml._MISMATCH, _nvml._TIMEOUT)
    assert (pynvml.NVML_CLOCK_GRAPHICS, pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM) == (0, 1, 2)
    assert (pynvml.NVML_VOLATILE_ECC, pynvml.NVML_TEMPERATURE_GPU) == (0, 0)
    assert (pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED) == (0, 1)
    thermal = pynvml.nvmlClocksEventReasonSwThermalSlowdown | pynvml.nvmlClocksEventReasonHwThermalSlowdown
    expected = {
        "power": pynvml.nvmlClocksEventReasonSwPowerCap,
        "thermal": thermal,
        "hardware_slowdown": pynvml.nvmlClocksEventReasonHwSlowdown,
        "power_brake": pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
        "sync": pynvml.nvmlClocksEventReasonSyncBoost,
    }
    assert expected == REASONS


def test_what_is_asked_of_todays_driver_is_not_deprecated() -> None:
    lines = inspect.getsource(pynvml).splitlines()
    deprecated = {
        line.split("(")[0].removeprefix("def ")
        for before, line in pairwise(lines)
        if before.startswith("# DEPRECATED") and line.startswith("def ")
    }
    assert "nvmlDeviceGetTemperature" in deprecated
    for name in ("h100-two", "h200-mig"):
        replay = Replay(name)
        page(source(replay)())
        assert deprecated.isdisjoint(replay.calls)


@given(st.integers(0, 2**64 - 1))
def test_each_bit_of_the_reasons_is_shown(mask: int) -> None:
    found = values(throttled(mask, "0"), hosts.GPU_THROTTLED)
    assert {labels[1] for labels in found} == set(hosts.THROTTLE_REASON.one_of)
    assert any(found.values()) == (mask & ~1 != 0)
    for reason, bits in REASONS.items():
        assert found["0", reason] == (mask & bits != 0)
