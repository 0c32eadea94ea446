"""What names, sources, regions, labels and options may look like. Each function returns the value in its one written
form or raises ValueError with a sentence that says what would do."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from inference.enums import Capability, Engine

MODEL_NAME = re.compile(r"[a-zA-Z0-9._:/-]{1,128}")
HIVE_NAME = re.compile(
    r"(?=.{1,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE
)
REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
HUB_FILE = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")

MAX_LABELS = 32
MAX_OPTIONS = 32
MAX_TEXT = 256
MAX_SOURCE = 1024
MAX_CONTEXT_TOKENS = 10_000_000
MAX_SLOTS = 1024
MAX_INTEGER = 2**53 - 1  # that every reader of JSON keeps

BUILTIN_MODELS = ("rbee-mini",)

Scalar = str | int | float | bool


class Source(NamedTuple):
    """`kind`: builtin, path, hf, echo. `text` is what hives are told."""

    kind: str
    text: str
    model_name: str  # what the model is called when nobody names it


def model_name(text: str) -> str:
    if not MODEL_NAME.fullmatch(text) or text.strip("./:-") == "":
        raise ValueError("a model's name has 1 to 128 letters, digits and . _ : / -")
    return text


def hive_name(text: str) -> str:
    """Lower case, as host names are compared."""
    if not HIVE_NAME.fullmatch(text):
        raise ValueError(
            "a hive is named like a host: at most 63 letters, digits, hyphens and dots, such as gpu-node-01"
        )
    return text.lower()


def region(text: str) -> str:
    if text and not REGION.fullmatch(text):
        raise ValueError("a region has 1 to 64 letters, digits and . _ / -, such as EU or EU/Netherlands")
    return text


def labels(values: dict[str, Scalar]) -> dict[str, Scalar]:
    return _scalars(values, "label", "gpu_type", MAX_LABELS)


def options(values: dict[str, Scalar]) -> dict[str, Scalar]:
    """Settings of an engine for one model. `context_tokens` and `slots` are checked here, the rest by the engine."""
    values = _scalars(values, "option", "context_tokens", MAX_OPTIONS)
    for name, most in (("context_tokens", MAX_CONTEXT_TOKENS), ("slots", MAX_SLOTS)):
        if name in values and not (type(values[name]) is int and 1 <= int(values[name]) <= most):
            raise ValueError(f"the option {name} takes a whole number from 1 to {most}")
    return values


def source(text: str) -> Source:
    if not text or len(text) > MAX_SOURCE or not text.isprintable():
        raise ValueError(f"a source has 1 to {MAX_SOURCE} printable characters; it is {_SOURCES}")
    if text.startswith("builtin:"):
        return _builtin(text)
    if text == "echo:":
        return Source("echo", text, "echo")
    if text.startswith(("/", "~/")):
        return _path(text)
    return _hub(text)


def guess_engine(of: Source) -> Engine:
    if of.kind == "echo":
        raise ValueError("the echo engine repeats itself, for load tests; say engine echo if you mean it")
    if of.kind == "path" and not of.text.endswith(".gguf"):
        raise ValueError("no engine reads that file: llama_cpp takes one that ends in .gguf")
    return Engine.LLAMA_CPP


def guess_capability(of: Source) -> Capability:
    return Capability.TEXT_GEN


def for_audit(**details: Any) -> dict[str, Any]:
    """Audit entries hold no floats: they have no canonical form."""
    return {name: _without_floats(value) for name, value in details.items()}


_SOURCES = (
    "builtin:rbee-mini, a path on the hive that begins with / or ~/,"
    " or a Hugging Face id such as Qwen/Qwen3-0.6B-GGUF, optionally with :FILE"
)


def _builtin(text: str) -> Source:
    name = text.removeprefix("builtin:")
    if name not in BUILTIN_MODELS:
        raise ValueError(
            f"rbee has {' and '.join(f'builtin:{known}' for known in BUILTIN_MODELS)} built in, not {text}"
        )
    return Source("builtin", text, name)


def _path(text: str) -> Source:
    path = PurePosixPath(text)
    if ".." in path.parts:
        raise ValueError("a path on a hive is given without ..")
    name = re.sub(r"[^a-zA-Z0-9._-]", "-", path.name.removesuffix(".gguf"))[:128]
    return Source("path", text, name)


def _hub(text: str) -> Source:
    repository, _, file = text.removeprefix("hf:").partition(":")
    if not HUB_ID.fullmatch(repository) or ".." in repository:
        raise ValueError(f"{text!r} is no source; it is {_SOURCES}")
    if file and (not HUB_FILE.fullmatch(file) or ".." in file):
        raise ValueError(f"{file!r} names no file of a Hugging Face repository")
    return Source("hf", f"hf:{repository}" + (f":{file}" if file else ""), repository.partition("/")[2])


def _scalars(values: dict[str, Scalar], what: str, example: str, most: int) -> dict[str, Scalar]:
    if len(values) > most:
        raise ValueError(f"there are at most {most} {what}s")
    for name, value in values.items():
        if not FIELD_NAME.fullmatch(name):
            raise ValueError(f"a {what} is named with lower-case letters, digits and _, such as {example}")
        if not isinstance(value, str | int | float | bool):
            raise ValueError(f"the {what} {name} takes a text, a number, true or false")
        if isinstance(value, str) and (len(value) > MAX_TEXT or not (value.isprintable() or value == "")):
            raise ValueError(f"the {what} {name} takes at most {MAX_TEXT} printable characters")
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise ValueError(f"the {what} {name} takes a whole number of at most 53 bits")
        if isinstance(value, float) and value - value != 0:
            raise ValueError(f"the {what} {name} takes a finite number")
    return values


def _without_floats(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {name: _without_floats(item) for name, item in value.items()}
    return value
