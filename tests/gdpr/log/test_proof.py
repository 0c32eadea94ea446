import random
from pathlib import Path

import pytest

from gdpr.log.note import NoteRefused, make_signer
from gdpr.log.proof import ProofRefused, check_proof, make_proof, read_proof
from gdpr.log.tiles import Tiles
from tests.gdpr.log.logs import ORIGIN, make_entry, make_log

SIGNER = make_signer(ORIGIN)


def proofs(folder: Path, size: int) -> tuple[Tiles, list[str]]:
    writer = make_log(folder, size, signer=SIGNER)
    tiles = Tiles(size, writer.store.read, writer.store.widths)
    note = (folder / "checkpoint").read_text()
    return tiles, [str(make_proof(index, note, tiles)) for index in range(size)]


@pytest.mark.parametrize("size", [1, 2, 255, 257, 300])
def test_every_entry_is_proved_by_one_text(tmp_path: Path, size: int) -> None:
    tiles, texts = proofs(tmp_path, size)
    for index, text in enumerate(texts):
        proof, checkpoint = check_proof(text, [SIGNER.key])
        assert (proof.index, proof.entry, checkpoint.size) == (index, tiles.entry(index), size)
        assert text.startswith("c2sp.org/tlog-proof@v1\nextra ")
        assert str(read_proof(text)) == text


def test_proof_is_of_the_entry_that_one_has(tmp_path: Path) -> None:
    tiles, texts = proofs(tmp_path, 20)
    assert check_proof(texts[3], [SIGNER.key], entry=tiles.entry(3))[0].index == 3
    for other in (tiles.entry(4), make_entry(), b""):
        with pytest.raises(ProofRefused, match="entry 3 of 20"):
            check_proof(texts[3], [SIGNER.key], entry=other)
    with pytest.raises(NoteRefused):
        check_proof(texts[3], [make_signer(ORIGIN).key])


def test_no_changed_byte_of_a_proof_is_accepted(tmp_path: Path) -> None:
    draw = random.Random(7)
    _, texts = proofs(tmp_path, 20)
    raw = texts[13].encode()
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << draw.randrange(7)
        try:
            text = changed.decode()
        except UnicodeDecodeError:
            continue
        with pytest.raises((ProofRefused, NoteRefused)):
            check_proof(text, [SIGNER.key])


@pytest.mark.parametrize("text", ["", "\n\n", "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v1\nindex 01\n\nx",
                                  "c2sp.org/tlog-proof@v1\nextra =\nindex 1\n\nx", "c2sp.org/tlog-proof@v1\nindex 1\nAA==\n\nx"])  # fmt: skip
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(ProofRefused):
        check_proof(text, [SIGNER.key])
