"""NVIDIA's management library as recorded: answers of real drivers, given in pynvml's own types.

A machine is a file tests/fixtures/hosts/nvml/NAME.json: {"source", "driver", "gpus": [{function: answer}]}.
An answer is a value, or an object by the call's further arguments, such as {"0": 1980, "1": 1980} of the clocks; a
text that begins with NVML_ERROR_ is that error. What was not recorded is NVML_ERROR_NOT_SUPPORTED. Figures are those
of the public captures that "source" names; what a capture does not hold is said there.

Every call is checked against the real function's name and signature, errors are pynvml's own classes, and structures
its own ctypes structures. No C compiler and no GPU is needed.
"""

from __future__ import annotations

import ctypes
import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

pynvml: Any = importlib.import_module("pynvml")  # it has no types

FOLDER = Path(__file__).parent / "fixtures" / "hosts" / "nvml"
_MIG = "mig"


class Replay:
    """Stands where the module pynvml stands. `broken[index]`, `down`: errors by name that come instead of answers."""

    def __init__(self, name: str) -> None:
        recorded = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        self.driver: str = recorded["driver"]
        self.gpus: list[dict[str, Any]] = recorded["gpus"]
        self.broken: dict[int, str] = {}
        self.down = ""
        self.old: set[str] = set()
        """Functions that the driver is too old for."""
        self.xids: list[tuple[int, int]] = []
        """GPU and number of errors that wait to be fetched."""
        self.calls: list[str] = []
        self.opened = 0
        self._handles: dict[int, dict[str, Any]] = {}
        self._memory: list[Any] = []
        self._pointers: dict[int, Any] = {}
        self._registered: set[int] = set()
        self._alive = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(pynvml, name)  # AttributeError for a name that pynvml does not have
        if not name.startswith("nvml") or not inspect.isfunction(real):
            return real
        signature = inspect.signature(real)

        def call(*arguments: Any) -> Any:
            signature.bind(*arguments)
            self.calls.append(name)
            if self.down:
                raise _error(self.down)
            if name in self.old:
                raise _error("NVML_ERROR_FUNCTION_NOT_FOUND")
            if not self._alive and name != "nvmlInit":
                raise _error("NVML_ERROR_UNINITIALIZED")
            own: Callable[..., Any] | None = getattr(type(self), f"_{name}", None)
            return own(self, *arguments) if own else self._recorded(name, *arguments)

        return call

    def reload_driver(self) -> None:
        """As after rmmod and modprobe: what was initialised is no more."""
        self._alive = False

    # --- the library

    def _nvmlInit(self) -> None:  # noqa: N802 - NVML's name
        self._alive = True
        self.opened += 1
        self._registered.clear()

    def _nvmlShutdown(self) -> None:  # noqa: N802 - NVML's name
        self._alive = False

    def _nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802 - NVML's name
        return self.driver

    def _nvmlDeviceGetCount(self) -> int:  # noqa: N802 - NVML's name
        return len(self.gpus)

    def _nvmlDeviceGetHandleByIndex(self, index: int) -> Any:  # noqa: N802 - NVML's name
        self._check(index)
        return self._handle(index, self.gpus[index])

    # --- events

    def _nvmlEventSetCreate(self) -> Any:  # noqa: N802 - NVML's name
        return pynvml.c_nvmlEventSet_t()

    def _nvmlDeviceRegisterEvents(self, handle: Any, types: int, event_set: Any) -> None:  # noqa: N802 - NVML's name
        index = self._index(handle)
        if self._of(handle).get("nvmlDeviceRegisterEvents", "") is None:
            raise _error("NVML_ERROR_NOT_SUPPORTED")
        assert types == pynvml.nvmlEventTypeXidCriticalError
        assert isinstance(event_set, pynvml.c_nvmlEventSet_t)
        self._registered.add(index)

    def _nvmlEventSetWait_v2(self, event_set: Any, timeout: int) -> Any:  # noqa: N802 - NVML's name
        assert timeout == 0, "a source must not wait"
        while self.xids:
            index, xid = self.xids.pop(0)
            if index in self._registered:
                event = pynvml.c_nvmlEventData_t()
                event.device, event.eventType, event.eventData = self._pointers[index], 8, xid
                return event
        raise _error("NVML_ERROR_TIMEOUT")

    # --- values

    def _nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any:  # noqa: N802 - NVML's name
        found = self._recorded("nvmlDeviceGetUtilizationRates", handle)
        return pynvml.c_nvmlUtilization_t(*found)

    def _nvmlDeviceGetMemoryInfo(self, handle: Any, version: int | None = None) -> Any:  # noqa: N802 - NVML's name
        total, reserved, used = self._recorded("nvmlDeviceGetMemoryInfo", handle)
        if not version:
            return pynvml.c_nvmlMemory_t(total, total - reserved - used, reserved + used)
        if "nvmlDeviceGetMemoryInfo_v2" in self.old:
            raise _error("NVML_ERROR_FUNCTION_NOT_FOUND")
        assert version == pynvml.nvmlMemory_v2
        return pynvml.c_nvmlMemory_v2_t(version, total, reserved, total - reserved - used, used)

    def _nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int:  # noqa: N802 - NVML's name
        return 7 if _MIG in self._of(handle) else 0

    def _nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, place: int) -> Any:  # noqa: N802 - NVML's name
        instances = self._of(handle)[_MIG]
        if place >= len(instances) or instances[place] is None:
            raise _error("NVML_ERROR_NOT_FOUND")
        return self._handle(100 * (self._index(handle) + 1) + place, instances[place])

    # --- handles and answers

    def _handle(self, number: int, answers: dict[str, Any]) -> Any:
        """A pointer, as the library's handles are; the same address each time, in a new object."""
        if number not in self._pointers:
            block = ctypes.create_string_buffer(8)
            self._memory.append(block)
            self._pointers[number] = ctypes.cast(block, pynvml.c_nvmlDevice_t)
            self._handles[ctypes.addressof(block)] = {"number": number, **answers}
        return ctypes.cast(self._pointers[number], pynvml.c_nvmlDevice_t)

    def _of(self, handle: Any) -> dict[str, Any]:
        assert isinstance(handle, pynvml.c_nvmlDevice_t)
        return self._handles[ctypes.cast(handle, ctypes.c_void_p).value or 0]

    def _index(self, handle: Any) -> int:
        return int(self._of(handle)["number"])

    def _check(self, index: int) -> None:
        if index in self.broken:
            raise _error(self.broken[index])

    def _recorded(self, name: str, handle: Any, *arguments: int) -> Any:
        self._check(self._index(handle))
        answer = self._of(handle).get(name)
        if isinstance(answer, dict):
            answer = answer.get("/".join(map(str, arguments)))
        if answer is None:
            raise _error("NVML_ERROR_NOT_SUPPORTED")
        if isinstance(answer, str) and answer.startswith("NVML_ERROR_"):
            raise _error(answer)
        return answer


def _error(name: str) -> Exception:
    error: Exception = pynvml.NVMLError(getattr(pynvml, name))
    return error
