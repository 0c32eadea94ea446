"""What a process gives up before it runs a script that nobody knows, and how it says what it is at.

Only for programs that end afterwards: nothing here can be taken back.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

CPU_S: Final = 10
MEMORY_BYTES: Final = 512 << 20  # of addresses: an interpreter and its libraries take about half of it
OPEN_FILES: Final = 16
NICE: Final = 10  # decisions on real tasks go first
NOTE_BYTES: Final = 256


def confine() -> None:
    """No more memory, time and files than the work needs, no other process, and no image of this one on a disk."""
    try:
        import resource
    except ImportError:  # Windows, where no queen runs
        return
    os.nice(NICE)
    for limit, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_NPROC, 0, 0),
        (
            resource.RLIMIT_CPU,
            CPU_S,
            CPU_S + 1,
        ),  # the first comes with a signal of its own, which tells the cause
        (resource.RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES),
    ):
        try:
            resource.setrlimit(limit, (soft, hard))
        except (ValueError, OSError):  # a system that does not know it; the others hold
            continue


class Note:
    """What runs at the moment, kept where the process that waits for this one can read it after a crash."""

    def __init__(self, fd: int | None) -> None:
        self._map = None if fd is None else mmap.mmap(fd, NOTE_BYTES)

    def write(self, text: str) -> None:
        if self._map is not None:
            self._map[:] = text.encode("utf-8", "replace")[:NOTE_BYTES].ljust(NOTE_BYTES, b"\0")


def note_of(arguments: list[str]) -> Note:
    """`arguments` of the program: the number of a file descriptor, or nothing when a person started it."""
    return Note(int(arguments[0]) if arguments else None)
