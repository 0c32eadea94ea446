"""From the name that a driver gives a device to the short form that scripts compare: H100, RTX4090, MI300X, M2 Ultra."""

from __future__ import annotations

import re

_NVIDIA_NOISE = re.compile(r"\b(nvidia|geforce|tesla|quadro|graphics|device|corporation)\b", re.IGNORECASE)
_CONSUMER = re.compile(
    r"\b(RTX|GTX|GT)\s*(PRO\s*)?(A?\d{3,4})\s*(Ti)?\s*(SUPER)?\s*(D\b)?(\s*Ada)?", re.IGNORECASE
)
_SUPERCHIP = re.compile(r"\b(G[HB]\d{2,3})\b", re.IGNORECASE)
_DATA_CENTRE = re.compile(r"\b([ABHKLMPTV]\d{1,4}[SGLXM]?)(?=\b|-)", re.IGNORECASE)
_AMD = re.compile(r"\b(MI)\s*(\d{2,3}[AX]?)\b", re.IGNORECASE)
_RADEON = re.compile(r"\b(?:Radeon )?(RX|PRO)\s*(W?\d{3,4})\s*(XTX|XT|GRE)?", re.IGNORECASE)
_APPLE = re.compile(r"\bM(\d+)(?:\s+(Pro|Max|Ultra))?", re.IGNORECASE)


def nvidia_type(name: str) -> str:
    plain = " ".join(_NVIDIA_NOISE.sub(" ", name).split())
    if found := _SUPERCHIP.search(plain):
        return found[1].upper()
    if found := _CONSUMER.search(plain):
        series, pro, number, ti, is_super, is_d, ada = found.groups()
        if number.upper().startswith("A"):
            return number.upper()  # a workstation card: RTX A6000 is called A6000
        parts = [series.upper(), "PRO" if pro else "", number, "TI" if ti else ""]
        return "".join([*parts, "SUPER" if is_super else "", "D" if is_d else "", "ADA" if ada else ""])
    if found := _DATA_CENTRE.search(plain):
        return found[1].upper()
    return _compact(plain)


def amd_type(name: str) -> str:
    if found := _AMD.search(name):
        return "".join(found.groups()).upper()
    if found := _RADEON.search(name):
        return "".join(part or "" for part in found.groups()).upper()
    return _compact(re.sub(r"\b(AMD|Radeon|Instinct|Graphics)\b", " ", name, flags=re.IGNORECASE))


def apple_type(name: str) -> str:
    found = _APPLE.search(name)
    if not found:
        return _compact(name)
    return f"M{found[1]} {found[2].capitalize()}" if found[2] else f"M{found[1]}"


def _compact(name: str) -> str:
    return "".join(name.split()).upper() or "UNKNOWN"
