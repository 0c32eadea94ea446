"""What the colony's domain functions refuse, and how that reaches a client.

ColonyError
├── InvalidInput            400  a field that makes no sense; `param` names it
├── JoinRefused             401  a join token that is unknown, used or expired
├── NotFound                404
├── NameTaken               409
├── StateConflict           409  how things stand does not allow it; `code` and the message say how they stand
├── Busy                    503  too much of this is being done; try again
└── RedisUnreachable        503  nothing was changed; try again
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class ColonyError(Exception):
    """`message` says what would do. The other four are fields of the OpenAI envelope and the HTTP status."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or type(self).code


class InvalidInput(ColonyError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class JoinRefused(ColonyError):
    status = 401
    type = "invalid_request_error"
    code = "invalid_join_token"


class NotFound(ColonyError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class NameTaken(ColonyError):
    status = 409
    type = "conflict_error"
    code = "name_taken"


class StateConflict(ColonyError):
    status = 409
    type = "conflict_error"
    code = "conflict"


class Busy(ColonyError):
    status = 503
    type = "service_unavailable"
    code = "busy"


class RedisUnreachable(ColonyError):
    status = 503
    type = "service_unavailable"
    code = "redis_unreachable"
    retry_after_s: ClassVar[int] = 1


def checked(param: str, rule: Callable[[T], R], value: T) -> R:
    """What `rule` makes of `value`. Raises InvalidInput in place of the rule's ValueError."""
    try:
        return rule(value)
    except ValueError as error:
        raise InvalidInput(f"{param}: {error}", param=param) from None
