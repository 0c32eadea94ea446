from __future__ import annotations

import logging
import traceback
from types import TracebackType

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class QuietFormatter(logging.Formatter):
    """Where an error happened and of what type, never its message: that may quote what a customer sent."""

    def formatException(self, ei: ErrorInfo) -> str:  # noqa: N802 -- logging's name
        kind, error, frames = ei
        if kind is None or error is None:
            return ""
        lines = [*traceback.format_tb(frames), kind.__name__]
        while (error := error.__cause__ or error.__context__) is not None:
            lines.append(f", from {type(error).__name__}")
        return "".join(lines)
