"""What commands print: tables and sentences for people, JSON for programs. Errors go to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 1000
TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z")


class Output:
    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # In a pipe nothing is wrapped: a line is a row.
        is_wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
        self.console = Console(highlight=False, width=WIDE if is_wide else None)

    def result(self, data: Any, text: str = "") -> None:
        """`data` for programs, `text` for people."""
        if self.as_json:
            print_json(data)
        else:
            self.say(text)

    def fields(self, data: Mapping[str, Any]) -> None:
        """One thing, a line for each of its fields."""
        if self.as_json:
            print_json(data)
            return
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, value in data.items():
            if name not in {"object", "id"}:
                table.add_row(Text(name, style="bold"), Text(shown(value)))
        self.console.print(table)

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
        """`columns`: heading by the key of a row. `empty` is said when there is none."""
        if self.as_json:
            print_json(list(rows))
        elif not rows:
            self.say(empty)
        else:
            table = Table(box=None, pad_edge=False, header_style="bold")
            for heading in columns.values():
                table.add_column(heading, overflow="fold")
            for row in rows:
                table.add_row(*(Text(shown(row.get(key))) for key in columns))
            self.console.print(table)

    def say(self, text: str = "", style: str = "") -> None:
        """For people only."""
        if not self.as_json:
            self.console.print(Text(text, style=style), soft_wrap=True)


def print_text(parts: Iterable[str]) -> None:
    """As it is, lines ended as they come."""
    for part in parts:
        sys.stdout.buffer.write(part.encode())
    sys.stdout.flush()


def print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def shown(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}={shown(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value) or "-"
    if isinstance(value, str) and (time := TIMESTAMP.fullmatch(value)):
        return f"{time[1]} {time[2]}"
    return str(value)
