"""What can go wrong on the command line, and the exit code of each.

CliError                1  the command could not do what was asked
├── UpFailed            1  `rbee up` could not start or keep a part
├── UsageError          2  the command was given something it cannot take
├── Unreachable         3  no queen answered
├── NotAuthorised       4  the queen wants another credential
├── NotFound            5  there is no such thing on the queen
└── Conflict            6  it exists already, or its state does not allow this
"""

from __future__ import annotations


class CliError(Exception):
    """`str()` of it is one line that names the fix; `detail` is shown below it when there is more to see."""

    exit_code = 1

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class UpFailed(CliError):
    pass


class UsageError(CliError):
    exit_code = 2


class Unreachable(CliError):
    exit_code = 3


class NotAuthorised(CliError):
    exit_code = 4


class NotFound(CliError):
    exit_code = 5


class Conflict(CliError):
    exit_code = 6
