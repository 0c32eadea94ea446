"""The devices of this machine. Never imports an engine's library: torch alone would cost 4 s and 400 MiB."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from hive_agent.device_names import amd_type, apple_type, nvidia_type
from hive_agent.protocol import DeviceReport

MIB = 1 << 20
DRM = Path("/sys/class/drm")


def detect() -> list[DeviceReport]:
    """Accelerators first, in their driver's order, then the CPU. A vendor whose driver is absent is left out."""
    found = [*_nvidia(), *_amd(), *_apple(), _cpu()]
    return [
        DeviceReport(index, kind, name, gpu_type, total, free, util)
        for index, (kind, name, gpu_type, total, free, util) in enumerate(found)
    ]


def process_vram_mib(pid: int) -> int:
    """Device memory that a process holds on NVIDIA devices, else its resident memory."""
    return _nvidia_process_mib(pid) or _rss_mib(pid)


Found = tuple[str, str, str, int, int, int]  # kind, name, gpu_type, total MiB, free MiB, percent in use


def _cpu() -> Found:
    memory = psutil.virtual_memory()
    name = _cpu_name()
    util = round(psutil.cpu_percent(None))
    return "cpu", name, "CPU", memory.total // MIB, memory.available // MIB, util


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _nvidia() -> Iterator[Found]:
    import pynvml

    try:
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            name = pynvml.nvmlDeviceGetName(handle)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            try:
                util = int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            except pynvml.NVMLError:  # not told for a MIG slice or a virtual GPU
                util = 0
            yield "cuda", name, nvidia_type(name), int(memory.total) // MIB, int(memory.free) // MIB, util
    except pynvml.NVMLError:
        return


def _nvidia_process_mib(pid: int) -> int:
    import pynvml

    used = 0
    try:
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
                if process.pid == pid:
                    used += (process.usedGpuMemory or 0) // MIB
    except pynvml.NVMLError:
        return 0
    return used


def _amd(root: Path = DRM) -> Iterator[Found]:
    for device in sorted(root.glob("card[0-9]*/device")):
        if _read(device / "vendor") != "0x1002":
            continue
        total = int(_read(device / "mem_info_vram_total") or 0)
        if not total:
            continue
        used = int(_read(device / "mem_info_vram_used") or 0)
        name = _read(device / "product_name") or f"AMD GPU {_read(device / 'device')}"
        util = int(_read(device / "gpu_busy_percent") or 0)
        yield "rocm", name, amd_type(name), total // MIB, (total - used) // MIB, util


def _apple() -> Iterator[Found]:
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return
    done = subprocess.run(
        ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
    )
    name = done.stdout.strip() or "Apple Silicon"
    memory = psutil.virtual_memory()  # one memory for the CPU and the GPU
    yield "metal", name, apple_type(name), memory.total // MIB, memory.available // MIB, 0


def _rss_mib(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss) // MIB
    except psutil.Error:
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
