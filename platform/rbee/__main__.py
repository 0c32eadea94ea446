"""python -m rbee COMMAND: Django's commands, as `manage.py` has them, also where there is no checkout."""

import os
import sys

from rbee.env import exit_on_misconfiguration
from rbee_quiet.install import be_quiet


def main() -> None:
    be_quiet(name_errors_only=True)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rbee.settings")

    from django.core.management import execute_from_command_line

    with exit_on_misconfiguration():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
