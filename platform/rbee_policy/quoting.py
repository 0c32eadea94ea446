"""Writing values of any text as Rhai, so that a script means exactly them."""

from __future__ import annotations

from typing import Final

_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(map(_character, value)) + '"'
    return str(value) if isinstance(value, int) else _float(value)


def comment(text: str) -> str:
    """On one line, whatever it holds."""
    return "// " + "".join(character if character.isprintable() else " " for character in text).strip()


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"


def _float(value: float) -> str:
    """Rhai wants a digit on both sides of the point, and takes exponents."""
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    if "." not in mantissa:
        mantissa += ".0"
    return f"{mantissa}e{int(exponent)}" if e else mantissa
