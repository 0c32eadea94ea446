"""What no process of rbee leaves behind: secrets and addresses in a log, its memory on a disk. Knows nobody who uses it."""
