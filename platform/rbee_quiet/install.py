"""One call at the start of each process of rbee.

Records are cleaned where they are made, so it makes no difference which handler, of whose library, writes them where.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rbee_quiet.scrub import scrub

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_plain = logging.LogRecord


def be_quiet(*, name_errors_only: bool = False) -> None:
    """Idempotent. `name_errors_only`: of an error its type and place are written, never its message, which may quote what
    a customer sent."""
    leave_no_core()
    tell = tell_type if name_errors_only else tell_scrubbed
    logging.setLogRecordFactory(_factory(tell))
    logging.captureWarnings(True)

    def at_the_end(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        sys.stderr.write(tell((kind, error, frames)) + "\n")

    def of_a_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None and not issubclass(told.exc_type, SystemExit):
            at_the_end(told.exc_type, told.exc_value, told.exc_traceback)

    def of_nobody(told: Any) -> None:
        if told.exc_value is not None:
            at_the_end(told.exc_type, told.exc_value, told.exc_traceback)

    sys.excepthook = at_the_end
    threading.excepthook = of_a_thread
    sys.unraisablehook = of_nobody


def leave_no_core() -> None:
    """A core dump is the memory of a process on a disk. What is started by this one leaves none either."""
    try:
        import resource
    except ImportError:  # Windows, where there are none
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _factory(tell: Callable[[ErrorInfo], str]) -> Callable[..., logging.LogRecord]:
    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = _plain(*args, **kwargs)
        try:
            said = record.getMessage()
        except Exception:  # noqa: BLE001 -- logging itself tells of arguments that do not fit, with the line they come from
            record.msg, record.args = (
                "a message that its arguments do not fit: %r",
                (type(record.msg).__name__,),
            )
            return record
        clean = scrub(said)
        if clean is not said:
            record.msg, record.args = clean, None
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            # What formatters take in place of what they would make themselves.
            record.exc_text = tell(record.exc_info)
        return record

    return make


def tell_type(info: ErrorInfo) -> str:
    kind, error, frames = info
    lines = [*traceback.format_tb(frames), kind.__name__]
    cause: BaseException | None = error
    while cause is not None and (cause := cause.__cause__ or cause.__context__) is not None:
        lines.append(f", from {type(cause).__name__}")
    return "".join(lines)


def tell_scrubbed(info: ErrorInfo) -> str:
    return scrub("".join(traceback.format_exception(*info)).rstrip("\n"))
