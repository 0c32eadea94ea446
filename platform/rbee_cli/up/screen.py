"""What `rbee up` says: one line for each part with where it is and how long it took, at a terminal with a spinner."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.status import Status
from rich.text import Text


class Screen:
    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self._pending: dict[str, float] = {}
        self._status: Status | None = None

    def __enter__(self) -> Screen:
        if self.console.is_terminal and not self.quiet:
            self._status = self.console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()
            self._status = None

    def begin(self, part: str) -> None:
        self._pending[part] = time.monotonic()
        self._show_pending()

    def done(self, part: str, where: str = "") -> None:
        took_s = time.monotonic() - self._pending.pop(part, time.monotonic())
        if not self.quiet:
            line = Text.assemble(
                ("  ✓ ", "green"), f"{part:<24} ", (f"{where:<44} ", "cyan"), (f"{took_s:5.1f} s", "dim")
            )
            self._print(line)
        self._show_pending()

    def say(self, text: str = "", style: str = "") -> None:
        if not self.quiet:
            self.always(text, style)

    def always(self, text: str, style: str = "") -> None:
        """Exactly this, in one write: no markup, no wrapping, so that a command can be copied."""
        self._print(Text(text, style=style))

    def trouble(self, text: str, detail: str = "") -> None:
        self.always(f"  ! {text}", "yellow")
        if detail:
            self.always("\n".join(f"    {line}" for line in detail.splitlines()), "dim")

    def _print(self, text: Text) -> None:
        """A terminal that is gone must not keep anything from stopping in order."""
        try:
            self.console.print(text, soft_wrap=True)
        except OSError:
            self.quiet = True

    def _show_pending(self) -> None:
        if self._status:
            self._status.update(
                "starting " + ", ".join(self._pending) + " …" if self._pending else "starting …"
            )
