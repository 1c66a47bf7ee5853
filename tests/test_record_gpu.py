"""NVIDIA's GPUs, against a stand-in of the library's interface: no GPU is at hand where the tests run."""

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hxbench.record.gpu import Gpus


class Refused(Exception):  # noqa: N818 - named as what it stands for
    """As pynvml.NVMLError."""


def driver(**changed: Any) -> ModuleType:
    """The part of pynvml that is used, with two GPUs."""
    nvml: Any = ModuleType("pynvml")
    nvml.NVMLError = Refused
    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetCount = lambda: 2
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index
    nvml.nvmlDeviceGetUtilizationRates = lambda handle: SimpleNamespace(gpu=50 * handle)
    nvml.nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(used=1000 + handle)
    nvml.nvmlDeviceGetPowerUsage = lambda handle: 70_500
    for name, function in changed.items():
        setattr(nvml, name, function)
    return nvml  # type: ignore[no-any-return]


def refuse(*_: Any) -> None:
    raise Refused


def sampled(monkeypatch: pytest.MonkeyPatch, nvml: ModuleType | None) -> list[Any]:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # None: not installed
    return list(Gpus().sample())


def test_each_gpu_tells_its_use_in_base_units(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [
        ("gpu", "utilization_share", '{"gpu": "0"}', 0.0),
        ("gpu", "memory_used_bytes", '{"gpu": "0"}', 1000),
        ("gpu", "power_watts", '{"gpu": "0"}', 70.5),
        ("gpu", "utilization_share", '{"gpu": "1"}', 0.5),
        ("gpu", "memory_used_bytes", '{"gpu": "1"}', 1001),
        ("gpu", "power_watts", '{"gpu": "1"}', 70.5),
    ] == sampled(monkeypatch, driver())


def test_what_a_gpu_does_not_tell_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sampled(monkeypatch, driver(nvmlDeviceGetPowerUsage=refuse))
    assert ["utilization_share", "memory_used_bytes"] * 2 == [name for _, name, _, _ in found]


def test_a_gpu_that_is_broken_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = driver(nvmlDeviceGetHandleByIndex=lambda index: index or refuse())
    assert {'{"gpu": "1"}'} == {labels for _, _, labels, _ in sampled(monkeypatch, nvml)}


def test_a_gpu_that_is_lost_on_the_way_tells_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml := driver())
    gpus = Gpus()
    assert 6 == len(list(gpus.sample()))
    for name in ("nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetPowerUsage"):
        monkeypatch.setattr(nvml, name, refuse)
    assert [] == list(gpus.sample())


def test_the_real_library_has_what_is_used_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers are plain ones; without a driver it refuses with the error that is expected."""
    nvml = importlib.import_module("pynvml")
    assert set(vars(driver())) <= set(vars(nvml))
    assert issubclass(nvml.NVMLError_LibraryNotFound, nvml.NVMLError)
    assert issubclass(nvml.NVMLError_GpuIsLost, nvml.NVMLError)
    assert "used" in dict(nvml.c_nvmlMemory_t._fields_)
    assert "gpu" in dict(nvml.c_nvmlUtilization_t._fields_)
    assert all(isinstance(value, int | float) for _, _, _, value in Gpus().sample())


@pytest.mark.parametrize(
    "nvml",
    [None, driver(nvmlInit=refuse), driver(nvmlDeviceGetCount=lambda: 0)],
    ids=["no package", "no driver", "none"],
)
def test_without_a_gpu_nothing_is_told(monkeypatch: pytest.MonkeyPatch, nvml: ModuleType | None) -> None:
    assert [] == sampled(monkeypatch, nvml)
