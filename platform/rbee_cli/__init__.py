"""The `rbee` command. It speaks HTTP to a queen and starts one; it imports neither Django nor an app."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("rbee")
except PackageNotFoundError:  # a bare checkout
    __version__ = "0+unknown"
