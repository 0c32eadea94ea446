"""Reading YAML that people write: rules and cases. Every problem names its place.

YAML 1.2's plain values: `NO` is a text, `12:30` is one too, and only true and false are yes and no. A key that stands
twice, anchors and tags are refused: what is not written there is not meant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from rbee_policy.problems import Invalid, Problem

MAX_BYTES: Final = 256 << 10
MAX_DEPTH: Final = 12

Path = tuple[str | int, ...]


class DocumentInvalid(Invalid):
    """It cannot be read, or does not say what its kind of document says."""


class Document:
    """`value` is what was read; `blame` collects what is wrong with it, `done` raises that."""

    def __init__(self, value: Any, places: dict[Path, tuple[int, int]]) -> None:
        self.value = value
        self._places = places
        self._problems: list[Problem] = []

    def blame(self, path: Path, problem: str) -> None:
        name = named(path)
        found = Problem(f"{name}: {problem}" if name else problem, *self._place_of(path))
        if found not in self._problems:
            self._problems.append(found)

    def line_of(self, path: Path) -> int:
        return self._place_of(path)[0]

    def done(self) -> None:
        """Raises DocumentInvalid."""
        if self._problems:
            raise DocumentInvalid(*sorted(self._problems, key=lambda problem: problem[1:]))

    def _place_of(self, path: Path) -> tuple[int, int]:
        """Its own, else that of what it is missing from."""
        while path not in self._places:
            path = path[:-1]
        return self._places[path]


def named(path: Path) -> str:
    """`rules[2].when.task.model`; things count from 1, as people count."""
    text = ""
    for step in path:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else step
    return text


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*|(?=[eE])))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(f"(?:{_pattern})$"),
        [*_first.replace("\0", ""), *([""] if "\0" in _first else [])],
    )


class _TextLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = {
        first: [rule for rule in rules if rule[0].rpartition(":")[2] in ("bool", "null")]
        for first, rules in _Loader.yaml_implicit_resolvers.items()
    }


_PLAIN_TAGS = {f"tag:yaml.org,2002:{tag}" for tag in ("bool", "null", "int", "float", "str", "map", "seq")}


def read_document(text: str, *, numbers_as_text: bool = False) -> Document:
    """`numbers_as_text`: as they are written, so that money is never a float. Raises DocumentInvalid."""
    if len(text) > MAX_BYTES:
        raise DocumentInvalid(Problem(f"it is larger than {MAX_BYTES >> 10} KiB", 1, 1))
    loader = None
    try:
        loader = _TextLoader(text) if numbers_as_text else _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise DocumentInvalid(Problem("it is empty", 1, 1))
        places: dict[Path, tuple[int, int]] = {}
        value = _value(loader, node, (), places, set())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise DocumentInvalid(Problem(error.problem or "it is no YAML", line, column)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DocumentInvalid(Problem("a character that YAML does not take", line, 1)) from None
    except RecursionError:
        raise DocumentInvalid(Problem("it is nested too deeply", 1, 1)) from None
    return Document(value, places)


def _value(
    loader: yaml.SafeLoader, node: yaml.Node, path: Path, places: dict[Path, tuple[int, int]], seen: set[int]
) -> Any:
    if id(node) in seen:
        raise _refused(node, "write it out: anchors are not read here")
    seen.add(id(node))
    if node.tag not in _PLAIN_TAGS:
        raise _refused(node, f"the tag {node.tag} is not read here")
    if len(path) > MAX_DEPTH:
        raise _refused(node, "it is nested too deeply")
    places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, at), places, seen) for at, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, item in _pairs(node):
            name = str(key.value)
            if name in found:
                raise _refused(key, f"{name!r} stands here twice")
            places[(*path, name)] = (key.start_mark.line + 1, key.start_mark.column + 1)
            found[name] = _value(loader, item, (*path, name), places, seen)
        return found
    return _scalar(loader, node)


def _pairs(node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _refused(key, "a name is a plain text")
        yield key, item


def _scalar(loader: yaml.SafeLoader, node: yaml.Node) -> str | int | float | bool | None:
    try:
        value = loader.construct_object(node)
    except ValueError:
        raise _refused(node, "it is not what its tag says") from None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _refused(node, "it is too large for an integer")
    if isinstance(value, float) and not math.isfinite(value):
        raise _refused(node, "it is too large for a number")
    if isinstance(value, str):
        try:  # JSON writes what is beyond 16 bits in two halves
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            raise _refused(node, "it holds half a character") from None
    if value is None or isinstance(value, int | float | bool):
        return value
    raise _refused(node, "it is not what its tag says")


def _refused(node: yaml.Node, problem: str) -> DocumentInvalid:
    return DocumentInvalid(Problem(problem, node.start_mark.line + 1, node.start_mark.column + 1))
