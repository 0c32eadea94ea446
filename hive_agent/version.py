"""Which software this is, as hives report it."""

from __future__ import annotations

from importlib import metadata


def _version() -> str:
    for distribution in ("rbee-hive", "rbee"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "0"


SOFTWARE = f"rbee-hive/{_version()}"
