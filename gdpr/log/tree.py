"""The Merkle tree of RFC 6962 over SHA-256: what its root is, and what proves that a leaf or an older tree is in it.

Proofs are made from `Node`, which gives the hash of the 2**level leaves from index * 2**level on: those that a log keeps.
They are checked without it, by the algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

Node = Callable[[int, int], bytes]


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Of a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


class Frontier:
    """The roots of the perfect subtrees of what was added, largest first: all that a root or the next leaf needs. Also
    known as a compact range."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        self._roots.append(leaf)
        self.size += 1
        ended = self.size
        while not ended & 1:
            right = self._roots.pop()
            self._roots[-1] = node_hash(self._roots[-1], right)
            ended >>= 1

    def root(self) -> bytes:
        return joined(self._roots)


def joined(roots: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees, each smaller than the one before."""
    if not roots:
        return EMPTY_ROOT
    root = roots[-1]
    for left in reversed(roots[:-1]):
        root = node_hash(left, root)
    return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root()


def tree_root(size: int, node: Node) -> bytes:
    return _range_root(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]). Raises ValueError for an index that is not in the tree."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    begin, end, proof = 0, size, []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            proof.append(_range_root(middle, end, node))
            end = middle
        else:
            proof.append(_range_root(begin, middle, node))
            begin = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """PROOF(old, D[new]). Raises ValueError for sizes that are not in this order."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} does not hold one of {old}")
    if old in (0, new):
        return []
    begin, end, proof, is_whole = 0, new, [], True
    while end != old:
        middle = begin + _split(end - begin)
        if old <= middle:
            proof.append(_range_root(middle, end, node))
            end = middle
        else:
            proof.append(_range_root(begin, middle, node))
            begin, is_whole = middle, False
    if not is_whole:
        proof.append(_range_root(begin, end, node))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    if not 0 <= index < size or not _are_hashes([leaf, root, *proof]):
        return False
    node, last, found = index, size - 1, leaf
    for part in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(part, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, part)
        node, last = node >> 1, last >> 1
    return last == 0 and hmac.compare_digest(found, root)


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether the tree of `new` leaves begins with that of `old`. The empty one is at the beginning of each."""
    if not 0 <= old <= new or not _are_hashes([old_root, new_root, *proof]):
        return False
    if old == new:
        return not proof and hmac.compare_digest(old_root, new_root)
    if old == 0:
        return not proof and hmac.compare_digest(old_root, EMPTY_ROOT)
    parts = list(proof)
    if old & (old - 1) == 0:
        parts.insert(0, old_root)
    if not parts:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    found_old = found_new = parts[0]
    for part in parts[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            found_old, found_new = node_hash(part, found_old), node_hash(part, found_new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found_new = node_hash(found_new, part)
        node, last = node >> 1, last >> 1
    return last == 0 and hmac.compare_digest(found_old, old_root) and hmac.compare_digest(found_new, new_root)


def _range_root(begin: int, end: int, node: Node) -> bytes:
    """MTH(D[begin:end]) of a range that the splits of a tree lead to: its beginning is a multiple of what it is split by."""
    roots = []
    while begin < end:
        width = 1 << ((end - begin).bit_length() - 1)
        roots.append(node(width.bit_length() - 1, begin // width))
        begin += width
    return joined(roots)


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _are_hashes(values: Sequence[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
