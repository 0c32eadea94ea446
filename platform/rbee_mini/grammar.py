"""Phrasings: "[a|b]" is one of the two (it nests, and may be empty), "{name}" is one of a slot's wordings."""

import random
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Node: TypeAlias = "str | tuple[str, str] | list[list[Node]]"

_MARK = re.compile(r"([\[\]|{}])")


def parse(phrasing: str) -> list[Node]:
    """A sequence of literal texts, ("slot", name) pairs, and lists of alternatives.

    Raises ValueError when a bracket is not closed.
    """
    pieces = [piece for piece in _MARK.split(phrasing) if piece]
    nodes, end = _sequence(pieces, 0, top=True)
    if end != len(pieces):
        raise ValueError(f"unbalanced brackets in {phrasing!r}")
    return nodes


def expand(nodes: Sequence[Node], slots: Mapping[str, Sequence[Sequence[Node]]], rng: random.Random) -> str:
    """One of the texts that the phrasing stands for, with single spaces."""
    return " ".join("".join(_pick(nodes, slots, rng)).split()).replace(" ,", ",")


def _pick(
    nodes: Sequence[Node], slots: Mapping[str, Sequence[Sequence[Node]]], rng: random.Random
) -> list[str]:
    texts: list[str] = []
    for node in nodes:
        if isinstance(node, str):
            texts.append(node)
        elif isinstance(node, tuple):
            texts += _pick(rng.choice(slots[node[1]]), slots, rng)
        else:
            texts += _pick(rng.choice(node), slots, rng)
    return texts


def _sequence(pieces: list[str], at: int, *, top: bool) -> tuple[list[Node], int]:
    nodes: list[Node] = []
    while at < len(pieces):
        piece = pieces[at]
        if piece in "|]" and not top:
            break
        if piece == "{":
            nodes.append(("slot", pieces[at + 1]))
            at += 3
        elif piece == "[":
            choice, at = _alternatives(pieces, at + 1)
            nodes.append(choice)
        elif piece in "]}|":
            break
        else:
            nodes.append(piece)
            at += 1
    return nodes, at


def _alternatives(pieces: list[str], at: int) -> tuple[list[list[Node]], int]:
    choices: list[list[Node]] = []
    while True:
        choice, at = _sequence(pieces, at, top=False)
        choices.append(choice)
        if at >= len(pieces) or pieces[at] not in "|]":
            raise ValueError(f"unbalanced brackets near {''.join(pieces[-5:])!r}")
        at += 1
        if pieces[at - 1] == "]":
            return choices, at
