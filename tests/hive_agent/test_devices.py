from pathlib import Path

import psutil
import pytest

from hive_agent import devices
from hive_agent.device_names import amd_type, apple_type, nvidia_type

NVIDIA = {
    "NVIDIA H100 80GB HBM3": "H100",
    "NVIDIA H100 PCIe": "H100",
    "NVIDIA H100 NVL": "H100",
    "NVIDIA H100 80GB HBM3 MIG 1g.10gb": "H100",
    "NVIDIA H200": "H200",
    "NVIDIA H20": "H20",
    "NVIDIA H800": "H800",
    "NVIDIA B200": "B200",
    "NVIDIA GB200": "GB200",
    "NVIDIA GB10": "GB10",
    "NVIDIA GH200 480GB": "GH200",
    "NVIDIA A100-SXM4-80GB": "A100",
    "NVIDIA A100-PCIE-40GB": "A100",
    "A100-SXM4-40GB": "A100",
    "NVIDIA A800-SXM4-80GB": "A800",
    "NVIDIA A10": "A10",
    "NVIDIA A10G": "A10G",
    "NVIDIA A16": "A16",
    "NVIDIA A30": "A30",
    "NVIDIA A40": "A40",
    "NVIDIA L4": "L4",
    "NVIDIA L40S": "L40S",
    "Tesla T4": "T4",
    "Tesla V100-SXM2-16GB": "V100",
    "Tesla P40": "P40",
    "Tesla P100-PCIE-16GB": "P100",
    "Tesla K80": "K80",
    "NVIDIA GeForce RTX 5090": "RTX5090",
    "NVIDIA GeForce RTX 4090": "RTX4090",
    "NVIDIA GeForce RTX 4090 D": "RTX4090D",
    "NVIDIA GeForce RTX 3090": "RTX3090",
    "NVIDIA GeForce RTX 3080 Ti": "RTX3080TI",
    "NVIDIA GeForce RTX 4070 Ti SUPER": "RTX4070TISUPER",
    "NVIDIA GeForce RTX 4060 Laptop GPU": "RTX4060",
    "NVIDIA GeForce GTX 1080 Ti": "GTX1080TI",
    "NVIDIA GeForce GT 1030": "GT1030",
    "NVIDIA RTX A6000": "A6000",
    "NVIDIA RTX 6000 Ada Generation": "RTX6000ADA",
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": "RTXPRO6000",
    "Quadro RTX 8000": "RTX8000",
    "NVIDIA TITAN V": "TITANV",
    "": "UNKNOWN",
}
AMD = {
    "AMD Instinct MI300X": "MI300X",
    "AMD Instinct MI250X": "MI250X",
    "Instinct MI 210": "MI210",
    "Radeon RX 7900 XTX": "RX7900XTX",
    "AMD Radeon RX 6800 XT": "RX6800XT",
    "AMD Radeon PRO W7900": "PROW7900",
    "AMD GPU 0x744c": "GPU0X744C",
}
APPLE = {
    "Apple M1": "M1",
    "Apple M2 Ultra": "M2 Ultra",
    "Apple M3 Max": "M3 Max",
    "Apple M4 Pro": "M4 Pro",
}


@pytest.mark.parametrize(("name", "short"), NVIDIA.items())
def test_nvidia_names(name: str, short: str) -> None:
    assert nvidia_type(name) == short


@pytest.mark.parametrize(("name", "short"), AMD.items())
def test_amd_names(name: str, short: str) -> None:
    assert amd_type(name) == short


@pytest.mark.parametrize(("name", "short"), APPLE.items())
def test_apple_names(name: str, short: str) -> None:
    assert apple_type(name) == short


def test_this_machine_reports_its_processor_last() -> None:
    found = devices.detect()
    cpu = found[-1]

    assert (cpu.kind, cpu.gpu_type) == ("cpu", "CPU")
    assert cpu.vram_total_mib == psutil.virtual_memory().total >> 20
    assert 0 < cpu.vram_free_mib <= cpu.vram_total_mib
    assert [each.index for each in found] == list(range(len(found)))


def test_amd_cards_are_read_from_sysfs(tmp_path: Path) -> None:
    for card, vendor in (("card0", "0x8086"), ("card1", "0x1002")):
        device = tmp_path / card / "device"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "mem_info_vram_total").write_text(f"{24 << 30}\n")
        (device / "mem_info_vram_used").write_text(f"{4 << 30}\n")
        (device / "product_name").write_text("Radeon RX 7900 XTX\n")
        (device / "gpu_busy_percent").write_text("37\n")

    assert list(devices._amd(tmp_path)) == [("rocm", "Radeon RX 7900 XTX", "RX7900XTX", 24576, 20480, 37)]
