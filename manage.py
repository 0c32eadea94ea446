#!/usr/bin/env python
"""Django's command line, from a bare checkout."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent / "platform"))
    from rbee.__main__ import main

    main()
