"""What can go wrong on a hive, in words for its operator.

HiveError                 one line that names the fix
├── JoinFailed
├── NotJoined
├── QueenUnreachable      the network; worth another try
├── QueenRefused          the queen answered 4xx or 5xx; `status` and `code` are its own
├── SourceUnavailable     a model's file cannot be had
└── EngineFailed          an engine did not start
"""

from __future__ import annotations


class HiveError(Exception):
    pass


class JoinFailed(HiveError):
    pass


class NotJoined(HiveError):
    pass


class QueenUnreachable(HiveError):
    pass


class QueenRefused(HiveError):
    def __init__(self, message: str, *, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class SourceUnavailable(HiveError):
    pass


class EngineFailed(HiveError):
    pass
