#!/usr/bin/env python
"""Django's command line, from a bare checkout."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent / "platform"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rbee.settings")
    from django.core.management import execute_from_command_line

    from rbee.env import exit_on_misconfiguration

    with exit_on_misconfiguration():
        execute_from_command_line(sys.argv)
