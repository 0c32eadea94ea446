"""Beside the definitions of RFC 6962 written down once more, word for word, and the vectors of Certificate Transparency."""

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdpr.log.entry import leaf_hash
from gdpr.log.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    node_hash,
    root_of,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(n.to_bytes(4, "big")) for n in range(600)]
SIZES = st.integers(1, 600)


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], is_whole: bool) -> list[bytes]:
    """RFC 6962, section 2.1.2."""
    if m == len(leaves):
        return [] if is_whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], is_whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def node(level: int, index: int) -> bytes:
    return mth(LEAVES[index << level : (index + 1) << level])


def test_roots_are_those_of_certificate_transparency() -> None:
    leaves = [leaf_hash(bytes.fromhex(text)) for text in INPUTS]

    assert [root_of(leaves[: n + 1]).hex() for n in range(8)] == ROOTS
    assert [mth(leaves[: n + 1]).hex() for n in range(8)] == ROOTS
    assert root_of([]) == EMPTY_ROOT == mth([])


@settings(deadline=None)
@given(SIZES)
def test_every_way_to_a_root_leads_to_the_same(size: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.add(leaf)

    assert frontier.root() == tree_root(size, node) == mth(LEAVES[:size])
    assert frontier.size == size


@settings(deadline=None)
@given(SIZES, st.data())
def test_inclusion_proofs_are_those_of_the_definition(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))

    proof = inclusion_proof(index, size, node)

    assert proof == path(index, LEAVES[:size])
    assert verify_inclusion(LEAVES[index], index, size, proof, mth(LEAVES[:size]))


@settings(deadline=None)
@given(SIZES, st.data())
def test_consistency_proofs_are_those_of_the_definition(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))

    proof = consistency_proof(old, new, node)

    assert proof == subproof(old, LEAVES[:new], True)
    assert verify_consistency(old, new, proof, mth(LEAVES[:old]), mth(LEAVES[:new]))


@settings(deadline=None)
@given(SIZES, st.randoms(use_true_random=False))
def test_no_changed_inclusion_proof_is_accepted(size: int, draw: random.Random) -> None:
    index = draw.randrange(size)
    root, leaf = mth(LEAVES[:size]), LEAVES[index]
    for other in changed(inclusion_proof(index, size, node), draw):
        assert not verify_inclusion(leaf, index, size, other, root)
    proof = inclusion_proof(index, size, node)
    assert not verify_inclusion(leaf_hash(b"another"), index, size, proof, root)
    assert not verify_inclusion(leaf, index, size, proof, leaf_hash(b"another"))
    for other_index in {index ^ 1, index + 1, size, -1, draw.randrange(600)} - {index}:
        assert not verify_inclusion(leaf, other_index, size, proof, root)


@settings(deadline=None)
@given(SIZES, st.randoms(use_true_random=False))
def test_no_changed_consistency_proof_is_accepted(new: int, draw: random.Random) -> None:
    old = draw.randrange(1, new + 1)
    old_root, new_root = mth(LEAVES[:old]), mth(LEAVES[:new])
    proof = consistency_proof(old, new, node)
    for other in changed(proof, draw):
        assert not verify_consistency(old, new, other, old_root, new_root)
    assert not verify_consistency(old, new, proof, leaf_hash(b"x"), new_root)
    assert not verify_consistency(old, new, proof, old_root, leaf_hash(b"x"))
    assert not verify_consistency(new, old, proof, new_root, old_root) or old == new


def changed(proof: list[bytes], draw: random.Random) -> list[list[bytes]]:
    """Each differs from `proof`."""
    found = [[*proof, leaf_hash(b"more")], [leaf_hash(b"more"), *proof], [*proof, b""], [*proof, b"short"]]
    if proof:
        at = draw.randrange(len(proof))
        flipped = bytearray(proof[at])
        flipped[draw.randrange(32)] ^= 1 << draw.randrange(8)
        found += [
            [*proof[:at], bytes(flipped), *proof[at + 1 :]],
            proof[:-1],
            proof[1:],
            [*proof[:at], proof[at], *proof[at:]],
            [*proof[:at], proof[at] + b"\x00", *proof[at + 1 :]],
        ]
        if proof != proof[::-1]:
            found.append(proof[::-1])
    return found


def test_the_empty_tree_is_at_the_beginning_of_each() -> None:
    assert consistency_proof(0, 5, node) == []
    assert verify_consistency(0, 5, [], EMPTY_ROOT, mth(LEAVES[:5]))
    assert not verify_consistency(0, 5, [], mth(LEAVES[:1]), mth(LEAVES[:5]))
    assert not verify_consistency(0, 5, [LEAVES[0]], EMPTY_ROOT, mth(LEAVES[:5]))
    assert not verify_consistency(5, 0, [], mth(LEAVES[:5]), EMPTY_ROOT)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_leaf_that_is_not_there_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(index, size, node)
    assert not verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])


@pytest.mark.parametrize(("old", "new"), [(6, 5), (-1, 5)])
def test_sizes_in_the_wrong_order_have_no_proof(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="does not hold"):
        consistency_proof(old, new, node)


def test_an_inner_node_passes_for_no_leaf() -> None:
    """Otherwise two leaves could be shown as one entry."""
    root = mth(LEAVES[:4])
    inner = node_hash(LEAVES[0], LEAVES[1])

    assert not verify_inclusion(leaf_hash(LEAVES[0] + LEAVES[1]), 0, 2, [node(1, 1)], root)
    assert verify_inclusion(
        inner, 0, 2, [node(1, 1)], root
    )  # of a tree of two, which is why the size is signed
    assert not verify_inclusion(inner, 0, 4, [node(1, 1)], root)
