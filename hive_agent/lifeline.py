"""A child of the agent dies with it: by the kernel's word on Linux, and everywhere by the end of its standard input."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def bind_to_parent(parent: int) -> None:
    """`parent` is the agent's process id as it knew it, so that a death before this call is noticed too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def exit_at_end_of_input(descriptor: int = 0) -> None:
    threading.Thread(target=_watch, args=(descriptor,), name="lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    while True:
        try:
            if not os.read(descriptor, 4096):
                break
        except OSError:
            break
    os._exit(1)
