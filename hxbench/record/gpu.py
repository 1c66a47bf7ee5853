"""What NVIDIA's GPUs do, asked of their driver through nvidia-ml-py (extra `gpu`)."""

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from hxbench.record.resources import Sample


class Gpus:
    """The GPUs of this machine; none without the package, the driver or a device."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        try:
            self._nvml: Any = import_module("pynvml")
        except ImportError:
            return
        try:
            self._nvml.nvmlInit()
            self._handles = [self._handle(index) for index in range(self._nvml.nvmlDeviceGetCount())]
        except self._nvml.NVMLError:
            return

    def _handle(self, index: int) -> Any:
        """Returns a GPU's handle, None of one that is broken or not ours: it does not hide the others."""
        try:
            return self._nvml.nvmlDeviceGetHandleByIndex(index)
        except self._nvml.NVMLError:
            return None

    def sample(self) -> Iterator[Sample]:
        """Yields utilization (share), memory in use and power of each GPU, labelled by its index.

        What a GPU does not tell is absent.
        """
        for index, handle in enumerate(self._handles):
            if handle is None:
                continue
            labels = json.dumps({"gpu": str(index)})
            for name, read in _READINGS.items():
                try:
                    value = read(self._nvml, handle)
                except self._nvml.NVMLError:
                    continue
                yield "gpu", name, labels, value


_READINGS: dict[str, Callable[[Any, Any], float]] = {
    "utilization_share": lambda nvml, handle: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
    "memory_used_bytes": lambda nvml, handle: nvml.nvmlDeviceGetMemoryInfo(handle).used,
    "power_watts": lambda nvml, handle: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
}
