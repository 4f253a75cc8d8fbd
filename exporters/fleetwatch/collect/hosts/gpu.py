"""NVIDIA's GPUs and their MIG instances, as the driver's management library (NVML) reports them.

hw_gpu_utilization_ratio{hw_id="0",hw_gpu_task="general"} 0.97
hw_gpu_memory_usage_bytes{hw_id="0/1"} 1.2e+10
hw_gpu_xid_total{hw_id="0",xid="79"} 1

Needs the extra `gpu` (nvidia-ml-py). A value that a GPU does not have is left out; a GPU that fell off the bus hurts
only itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._nvml import Gone, Lost, Nvml, address, ask, events, init, load, shutdown
from fleetwatch.collect.runner import Incomplete, NoData, source

SEARCH_CYCLES = 20
"""Cycles from one search for a driver to the next."""

BIRTH_CYCLES = 4
"""For so long a new XID is shown as 0, lest `increase()` miss the first one: a minute, which is two slow scrapes."""

_MEGA = 10**6
_MILLI = 1000
_PERCENT = 100

# Bits of nvmlDeviceGetCurrentClocksEventReasons. Bit 1, idle, is no reason to worry. The driver sets hardware_slowdown
# together with the cause, where it knows that.
REASONS = {
    "power": 0x4,
    "thermal": 0x20 | 0x40,
    "hardware_slowdown": 0x8,
    "power_brake": 0x80,
    "sync": 0x10,
}
_IDLE = 0x1

_CLOCKS = {"graphics": 0, "sm": 1, "memory": 2}  # nvmlClockType_t
_ECC = {"corrected": 0, "uncorrected": 1}  # nvmlMemoryErrorType_t
_VOLATILE = 0  # since the driver was loaded; the aggregate ones count over the card's life
_SENSOR_GPU = 0


@dataclass
class _Session:
    """What holds from one nvmlInit to the next."""

    nvml: Nvml
    driver: str
    event_set: Any
    handles: dict[int, Any] = field(default_factory=dict)
    """Number of the GPU -> its handle. One that is lost from the start has none."""


@source(interval=15)
class Gpu:
    """Keeps the driver's library open and counts the errors that it tells of."""

    def __init__(self, here: Here, load: Callable[[Here], Nvml | None] = load) -> None:
        self._here = here
        self._load = load
        self._session: _Session | None = None
        self._rest = 0
        self._xids: Counter[tuple[str, str]] = Counter()
        self._born: dict[tuple[str, str], int] = {}
        self._cycle = 0

    def __call__(self) -> Iterator[Sample]:
        """Raises Incomplete for GPUs that do not answer, RuntimeError where the driver refuses."""
        self._cycle += 1
        try:
            samples, failures = self._look()
        except Gone:
            # The driver was loaded anew: once more from the start.
            self._close()
            try:
                samples, failures = self._look()
            except Gone as error:
                self._close()
                raise RuntimeError(f"NVML: the driver went away twice: {error}") from None
        yield from samples
        if failures:
            raise Incomplete("; ".join(failures))

    def _look(self) -> tuple[list[Sample], list[str]]:
        session = self._open()
        nvml = session.nvml
        count = ask(nvml, "nvmlDeviceGetCount") or 0
        if not count:
            self._forget()
            raise NoData
        self._here.facts["gpus"] = str(count)
        samples: list[Sample] = []
        failures: list[str] = []
        for index in range(count):
            try:
                samples += self._gpu(session, index)
            except Lost as error:
                failures.append(f"GPU {index}: {error}")
        try:
            self._count(session)
        except Lost as error:
            failures.append(str(error))
        samples += self._errors()
        return samples, failures

    # --- the driver

    def _open(self) -> _Session:
        if self._session is not None:
            return self._session
        if self._rest > 0:
            self._rest -= 1
            raise NoData
        nvml = self._load(self._here)
        if nvml is None or not init(nvml):
            self._rest = SEARCH_CYCLES - 1
            self._forget()
            raise NoData
        try:
            driver = ask(nvml, "nvmlSystemGetDriverVersion") or ""
            event_set = ask(nvml, "nvmlEventSetCreate")
        except Lost as error:
            shutdown(nvml)
            raise RuntimeError(f"NVML: {error}") from None
        self._session = _Session(nvml, driver, event_set)
        return self._session

    def _close(self) -> None:
        if self._session is not None:
            shutdown(self._session.nvml)
        self._session = None

    def _forget(self) -> None:
        for fact in ("gpus", "gpu_model"):
            self._here.facts.pop(fact, None)

    # --- one GPU

    def _gpu(self, session: _Session, index: int) -> list[Sample]:
        handle = self._handle(session, index)
        model = ask(session.nvml, "nvmlDeviceGetName", handle) or ""
        if index == 0:
            self._here.facts["gpu_model"] = model
        about = _info(session, handle, str(index), model, "")
        return [*about, *_values(session.nvml, handle, str(index)), *_instances(session, handle, str(index))]

    def _handle(self, session: _Session, index: int) -> Any:
        if index not in session.handles:
            nvml = session.nvml
            handle = ask(nvml, "nvmlDeviceGetHandleByIndex", index)
            if handle is None:
                raise Lost("expected a handle, got none: another user's or without permission")
            if session.event_set is not None:
                # None where events are not supported, as in virtual machines with a part of a GPU.
                ask(nvml, "nvmlDeviceRegisterEvents", handle, nvml.nvmlEventTypeXidCriticalError, session.event_set)
            session.handles[index] = handle
        return session.handles[index]

    # --- errors that the driver tells of once

    def _count(self, session: _Session) -> None:
        if session.event_set is None or not session.handles:
            return
        numbers = {address(handle): str(index) for index, handle in session.handles.items()}
        for gpu, xid in events(session.nvml, session.event_set):
            if gpu in numbers:
                key = numbers[gpu], str(xid)
                self._xids[key] += 1
                self._born.setdefault(key, self._cycle)

    def _errors(self) -> Iterator[Sample]:
        for (gpu, xid), count in self._xids.items():
            young = self._cycle - self._born[gpu, xid] < BIRTH_CYCLES
            yield hosts.GPU_XIDS(0 if young else count, hw_id=gpu, xid=xid)


def _info(session: _Session, handle: Any, hw_id: str, model: str, profile: str) -> Iterator[Sample]:
    uuid = ask(session.nvml, "nvmlDeviceGetUUID", handle) or ""
    yield hosts.GPU_INFO(1, hw_id=hw_id, uuid=uuid, model=model, driver=session.driver, mig_profile=profile)


def _values(nvml: Nvml, handle: Any, hw_id: str) -> Iterator[Sample]:
    yield from _utilization(nvml, handle, hw_id)
    yield from _memory(nvml, handle, hw_id)
    yield from _one(hosts.GPU_POWER, ask(nvml, "nvmlDeviceGetPowerUsage", handle), hw_id, _MILLI)
    yield from _one(hosts.GPU_POWER_LIMIT, ask(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle), hw_id, _MILLI)
    yield from _one(hosts.GPU_ENERGY, ask(nvml, "nvmlDeviceGetTotalEnergyConsumption", handle), hw_id, _MILLI)
    celsius = ask(nvml, "nvmlDeviceGetTemperatureV nvmlDeviceGetTemperature", handle, _SENSOR_GPU)
    yield from _one(hosts.TEMPERATURE, celsius, hw_id)
    for clock, kind in _CLOCKS.items():
        megahertz = ask(nvml, "nvmlDeviceGetClockInfo", handle, kind)
        yield from _one(hosts.GPU_FREQUENCY, megahertz and megahertz * _MEGA, hw_id, hw_gpu_clock=clock)
    for name, kind in _ECC.items():
        errors = ask(nvml, "nvmlDeviceGetTotalEccErrors", handle, kind, _VOLATILE)
        yield from _one(hosts.GPU_ERRORS, errors, hw_id, error_type=name)
    yield from throttled(
        ask(nvml, "nvmlDeviceGetCurrentClocksEventReasons nvmlDeviceGetCurrentClocksThrottleReasons", handle), hw_id
    )


def _utilization(nvml: Nvml, handle: Any, hw_id: str) -> Iterator[Sample]:
    """Shares of 1; the driver gives per cent, for coders with the length of its sampling period."""
    rates = ask(nvml, "nvmlDeviceGetUtilizationRates", handle)
    encoder = ask(nvml, "nvmlDeviceGetEncoderUtilization", handle)
    decoder = ask(nvml, "nvmlDeviceGetDecoderUtilization", handle)
    tasks = {"general": rates and rates.gpu, "encoder": encoder and encoder[0], "decoder": decoder and decoder[0]}
    for task, percent in tasks.items():
        yield from _one(hosts.GPU_UTILIZATION, percent, hw_id, _PERCENT, hw_gpu_task=task)


def _memory(nvml: Nvml, handle: Any, hw_id: str) -> Iterator[Sample]:
    """As nvidia-smi shows it: the second version of the question does not count the driver's own share as used."""
    version = getattr(nvml, "nvmlMemory_v2", None)
    memory = ask(nvml, "nvmlDeviceGetMemoryInfo", handle, version) or ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    if memory:
        yield hosts.GPU_MEMORY_USAGE(memory.used, hw_id=hw_id)
        yield hosts.GPU_MEMORY_LIMIT(memory.total, hw_id=hw_id)


def _instances(session: _Session, handle: Any, gpu: str) -> Iterator[Sample]:
    """MIG instances: what they are, and their memory. The driver measures nothing else for them."""
    nvml = session.nvml
    mode = ask(nvml, "nvmlDeviceGetMigMode", handle)
    if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return
    for place in range(ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        instance = ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, place)
        if instance is None:  # a place without an instance
            continue
        part = ask(nvml, "nvmlDeviceGetComputeInstanceId", instance)
        hw_id = f"{gpu}/{ask(nvml, 'nvmlDeviceGetGpuInstanceId', instance)}" + (f"/{part}" if part else "")
        model, _, profile = (ask(nvml, "nvmlDeviceGetName", instance) or "").partition(" MIG ")
        yield from _info(session, instance, hw_id, model, profile)
        yield from _memory(nvml, instance, hw_id)


def throttled(reasons: int | None, hw_id: str) -> Iterator[Sample]:
    """reasons: the driver's bit mask. A bit that has no name here, among them those of newer drivers, is `other`."""
    if reasons is None:
        return
    for reason, bits in REASONS.items():
        yield hosts.GPU_THROTTLED(int(bool(reasons & bits)), hw_id=hw_id, hw_gpu_throttle_reason=reason)
    other = reasons & ~(_IDLE | sum(REASONS.values()))
    yield hosts.GPU_THROTTLED(int(bool(other)), hw_id=hw_id, hw_gpu_throttle_reason="other")


def _one(metric: Metric, value: float | None, hw_id: str, per: int = 1, **labels: str) -> Iterator[Sample]:
    if value is not None:
        yield metric(value / per if per > 1 else value, hw_id=hw_id, **labels)
