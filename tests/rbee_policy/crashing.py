"""A program that ends as badly as it is asked to: `python -m tests.rbee_policy.crashing`."""

import ctypes
import os
import sys
import time
from pathlib import Path

from rbee_policy import sandbox


def main() -> None:
    how = sys.stdin.read()
    if how == "before the script":
        sys.exit(3)
    note = sandbox.note_of(sys.argv[1:])
    sandbox.CPU_S = 1  # a test need not wait for all of it
    sandbox.confine()
    note.write(f"{how} with a task")
    if how == "segmentation fault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    elif how == "memory":
        held = []
        while True:
            held.append(bytearray(1 << 24))
    elif how == "file":
        Path("/tmp/written-by-a-script").write_text("x")
    elif how == "process":
        os.setuid(65534)
        os.fork()
    elif how == "time":
        while True:
            pass
    elif how == "sleep":
        time.sleep(60)
    elif how == "interrupt":
        os.kill(os.getpid(), 15)
    elif how == "environment":
        print(sorted(os.environ), end="")


if __name__ == "__main__":
    main()
