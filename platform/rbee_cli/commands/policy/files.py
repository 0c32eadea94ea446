"""Reading the file that a command names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rbee_cli.errors import UsageError
    from rbee_policy.problems import Invalid, Problem

MAX_FILE_BYTES: Final = 1 << 20


def read_file(path: Path) -> str:
    """Raises UsageError."""
    from rbee_cli.errors import UsageError

    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise UsageError(f"{path} is larger than {MAX_FILE_BYTES >> 10} KiB")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None


def script_or_rules(path: Path) -> dict[str, str]:
    """The file as the queen takes it: a script as `source`, rules as `rules`. Raises UsageError."""
    from rbee_policy.files import Kind, kind_of, script_in
    from rbee_policy.problems import Invalid

    text = read_file(path)
    try:
        script_in(path.name, text)
        is_rules = kind_of(path.name, text) is Kind.RULES
    except Invalid as invalid:
        raise blamed(path, invalid) from None
    return {"rules" if is_rules else "source": text}


def blamed(path: Path, invalid: Invalid) -> UsageError:
    from rbee_cli.errors import UsageError

    lines = [line_of(path, problem) for problem in invalid.problems]
    return UsageError(lines[0], detail="\n".join(lines[1:]))


def line_of(path: Path, problem: Problem) -> str:
    """As compilers write it, so that editors find the place."""
    place = ":".join(str(part) for part in (path, problem.line, problem.column) if part is not None)
    return f"{place}: {problem.message}"
