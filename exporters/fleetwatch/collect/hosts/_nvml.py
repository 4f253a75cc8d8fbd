"""Questions to NVIDIA's management library (NVML), and which of its refusals mean what.

Reference: the NVML API reference of NVIDIA; the functions are those of the Python package nvidia-ml-py.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from fleetwatch.collect.here import Here

Nvml = Any
"""The module pynvml; it has no types."""

_LIBRARY = "libnvidia-ml.so.1"
_MOST_EVENTS = 1000
"""In one cycle; a GPU that fails in a loop must not hold the source up."""

# Codes of nvmlReturn_t in nvml.h, the same in all versions.
_LEFT_OUT = frozenset({3, 4, 6, 13, 21, 22, 25, 26})
"""Not supported, no permission, not found, function not found, no data, no ECC for vGPUs, version of the argument,
deprecated: this GPU, this driver or this user has no such value."""
_GONE = frozenset({1, 9})
"""Uninitialized, driver not loaded."""
_ABSENT = frozenset({9, 12})
"""Driver not loaded, library not found."""
_MISMATCH = 18
_TIMEOUT = 10


class Gone(Exception):  # noqa: N818 - a state of the driver, which is asked again
    """The driver has forgotten us: it was unloaded or loaded anew."""


class Lost(Exception):  # noqa: N818 - a state of one GPU
    """A GPU does not answer; the message is the driver's."""


def load(here: Here) -> Nvml | None:
    """pynvml, or None without NVIDIA's driver, its library or the package.

    The cheap questions come first: importing pynvml costs a tenth of a second and some megabytes.
    """
    marks = (here.proc / "driver/nvidia/version", here.root / "dev/nvidiactl", here.root / "dev/dxg")  # dxg: WSL
    if not any(mark.exists() for mark in marks):
        return None
    import ctypes  # noqa: PLC0415 - a hundredth of a small program's start, of use only with a GPU

    try:
        ctypes.CDLL(_LIBRARY)
        return importlib.import_module("pynvml")
    except (OSError, ImportError):
        return None


def init(nvml: Nvml) -> bool:
    """Begin; False without a driver. Raises RuntimeError where the driver refuses."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if error.value in _ABSENT:
            return False
        if error.value == _MISMATCH:
            raise RuntimeError(
                "NVML: the driver was upgraded, and the library that this process has loaded is of another version: "
                "load the new kernel module (or reboot), then restart this process"
            ) from None
        raise RuntimeError(f"NVML: expected the driver to answer, got: {error}") from None
    return True


def shutdown(nvml: Nvml) -> None:
    """End; a driver that has forgotten us needs no farewell."""
    with contextlib.suppress(nvml.NVMLError):
        nvml.nvmlShutdown()


def ask(nvml: Nvml, names: str, *arguments: Any) -> Any:
    """The answer of a function; None where this GPU has no such value.

    names: the function, and after it older ones for drivers and packages that do not know it, separated by spaces.
    Raises Gone and Lost.
    """
    for name in names.split():
        function: Callable[..., Any] | None = getattr(nvml, name, None)
        if function is None:
            continue
        try:
            return function(*arguments)
        except nvml.NVMLError as error:
            if error.value in _GONE or error.value == _MISMATCH:
                raise Gone(str(error)) from None
            if error.value not in _LEFT_OUT:
                raise Lost(str(error)) from None
    return None


def address(handle: Any) -> int:
    """What two handles of the same GPU have in common. A lost GPU can not be asked for its number any more."""
    import ctypes  # noqa: PLC0415 - see load

    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def events(nvml: Nvml, event_set: Any) -> Iterator[tuple[int, int]]:
    """The XID errors since the last time: address of the GPU's handle, number of the error. Does not wait."""
    for _ in range(_MOST_EVENTS):
        try:
            event = nvml.nvmlEventSetWait_v2(event_set, 0)
        except nvml.NVMLError as error:
            if error.value in _GONE:
                raise Gone(str(error)) from None
            if error.value == _TIMEOUT:
                return
            raise Lost(f"events: {error}") from None
        if event.eventType == nvml.nvmlEventTypeXidCriticalError:
            yield address(event.device), event.eventData
