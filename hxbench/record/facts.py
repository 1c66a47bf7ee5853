"""Facts about the host, the packages, the server and the model, by allow-list.

Never the environment, never a command line: what is not named here is not stored.
"""

import hashlib
import platform
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("numpy", "pandas", "pyarrow", "scipy", "plotly", "papermill", "nbconvert", "psutil", "xllamacpp")

CPU_INFO = Path("/proc/cpuinfo")  # Linux
CPUS = Path("/sys/devices/system/cpu")


def of_host() -> dict[str, Any]:
    """Returns what the measuring machine is; its name only as a hash, to tell two machines apart."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu_model": _cpu_model(),
        "cores": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
        "cpu_governor": _governor(),
        "hostname_sha256": hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16],
    }


def of_software() -> dict[str, Any]:
    """Returns Python's version and those of the packages that measured and judged."""
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "packages": {name: installed for name in PACKAGES if (installed := _version(name)) is not None},
    }


def of_embedded() -> str:
    """Returns the build of the embedded server: the version of the package that carries llama.cpp."""
    return f"llama.cpp in xllamacpp {_version('xllamacpp')}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _governor() -> str | None:
    """Returns what sets the processors' frequency, of several all; None where the system does not say."""
    found = set()
    for path in CPUS.glob("cpu[0-9]*/cpufreq/scaling_governor"):
        try:
            found.add(path.read_text().strip())
        except OSError:  # of one that was switched off meanwhile
            continue
    return ", ".join(sorted(found)) or None
