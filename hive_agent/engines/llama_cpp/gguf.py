"""What the header of a GGUF file says of its model (format: ggml's docs/gguf.md, versions 2 and 3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hive_agent.errors import SourceUnavailable

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_MAX_STRING = 16 << 20
_MAX_FIELDS = 1 << 16


@dataclass(frozen=True, slots=True)
class Header:
    architecture: str
    context_tokens: int  # that the model was trained for


def read_header(path: Path) -> Header:
    """Raises SourceUnavailable."""
    try:
        with path.open("rb") as file:
            fields = _fields(file)
    except OSError as error:
        raise SourceUnavailable(f"cannot read {path}: {error.strerror}") from None
    except (struct.error, ValueError, KeyError):
        raise SourceUnavailable(f"{path} is not a GGUF file") from None
    architecture = str(fields.get("general.architecture", ""))
    context = fields.get(f"{architecture}.context_length")
    if not isinstance(context, int):
        raise SourceUnavailable(f"{path} names no context length: is it a language model?")
    return Header(architecture, context)


def _fields(file: BinaryIO) -> dict[str, object]:
    magic, version, _tensors, count = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version not in {2, 3} or count > _MAX_FIELDS:
        raise ValueError
    fields = {}
    for _ in range(count):
        name = _string(file)
        fields[name] = _value(file, *struct.unpack("<I", file.read(4)))
    return fields


def _value(file: BinaryIO, kind: int) -> object:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        _skip_array(file)
        return None
    layout = "<" + _SCALARS[kind]
    return struct.unpack(layout, file.read(struct.calcsize(layout)))[0]


def _skip_array(file: BinaryIO) -> None:
    kind, count = struct.unpack("<IQ", file.read(12))
    if kind in _SCALARS:
        file.seek(count * struct.calcsize("<" + _SCALARS[kind]), 1)
        return
    for _ in range(count):
        _value(file, kind)


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MAX_STRING:
        raise ValueError
    return file.read(length).decode("utf-8", "replace")
