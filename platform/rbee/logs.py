from __future__ import annotations

import logging
from types import TracebackType

from rbee_quiet.install import tell_type

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class QuietFormatter(logging.Formatter):
    """Where an error happened and of what type, never its message: that may quote what a customer sent."""

    def formatException(self, ei: ErrorInfo) -> str:  # noqa: N802 -- logging's name
        kind, error, frames = ei
        return "" if kind is None or error is None else tell_type((kind, error, frames))
