"""The vectors are those of golang.org/x/mod/sumdb/note and of C2SP signed-note."""

import base64
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdpr.log.note import (
    FileSigner,
    KeyRefused,
    NoteRefused,
    make_signer,
    open_note,
    read_signer,
    read_verify_key,
    read_verify_keys,
    sign_note,
)

SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    TEXT
    + "\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n")).map(lambda text: text + "\n")


def test_note_is_the_one_that_others_make() -> None:
    signer = read_signer(SECRET)

    assert str(signer.key) == PUBLIC
    assert signer.secret_text() == SECRET
    assert sign_note(TEXT, signer) == NOTE
    assert open_note(NOTE, [read_verify_key(PUBLIC)]) == TEXT
    assert open_note(NOTE.encode(), [read_verify_key(PUBLIC)]) == TEXT


@settings(deadline=None)
@given(TEXTS)
def test_what_was_signed_is_opened(text: str) -> None:
    signers = [make_signer("one.example/a"), make_signer("zwei.example/ä")]
    note = sign_note(text, *signers)

    assert open_note(note, [signers[0].key]) == text
    assert open_note(note, [signers[1].key]) == text
    with pytest.raises(NoteRefused):
        open_note(note, [make_signer("one.example/a").key])
    with pytest.raises(NoteRefused):
        open_note(note, [])


def test_a_wrong_signature_of_one_trusted_key_refuses_the_note() -> None:
    honest, forged = make_signer("honest"), make_signer("forged")
    note = sign_note("text\n", honest, _Lying(forged))

    assert open_note(note, [honest.key]) == "text\n"  # the other is nobody it knows
    with pytest.raises(NoteRefused, match="wrong"):
        open_note(note, [honest.key, forged.key])


class _Lying:
    def __init__(self, signer: FileSigner) -> None:
        self.key = signer.key

    def sign(self, message: bytes) -> bytes:
        return bytes(64)


@pytest.mark.parametrize("seed", range(4))
def test_no_changed_byte_is_accepted(seed: int) -> None:
    key, draw = read_verify_key(PUBLIC), random.Random(seed)
    raw = NOTE.encode()
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << draw.randrange(8)
        with pytest.raises(NoteRefused):
            open_note(bytes(changed), [key])


@pytest.mark.parametrize(
    "note",
    [
        "", "\n", "\n\n", "text\n", "text\n\n", TEXT, NOTE[:-1], NOTE + "\n", NOTE.replace("\n\n", "\n"),
        NOTE.replace("\u2014 Peter", "- Peter"), NOTE.replace(" x08go", "  x08go"), NOTE.replace("JnAM=", "JnAN="),
        NOTE.replace("If", "If\t"), "text\r\n\n" + NOTE.rpartition("\n\n")[2], b"\xff\n\n", NOTE + NOTE[-120:],
    ],
)  # fmt: skip
def test_what_is_no_note_is_refused(note: str | bytes) -> None:
    with pytest.raises(NoteRefused):
        open_note(note, [read_verify_key(PUBLIC)])


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n", "nul\x00\n"])
def test_text_that_no_note_can_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="newline"):
        sign_note(text, read_signer(SECRET))


@pytest.mark.parametrize(
    "text",
    ["", "PeterNeumann", PUBLIC.replace("c74f20a3", "c74f20a4"), PUBLIC[:-4], PUBLIC.replace("+AR", "+BR"), SECRET],
)  # fmt: skip
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(KeyRefused):
        read_verify_key(text)


def test_refused_signing_key_is_not_quoted() -> None:
    for text in (SECRET[:-8], SECRET.replace("c74f20a3", "c74f20a4"), "x" + SECRET):
        with pytest.raises(KeyRefused) as refused:
            read_signer(text)
        assert "AYEKFALV" not in str(refused.value)


def test_keys_are_read_from_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    other = make_signer("other").key
    (tmp_path / "keys").write_text(f"# before and after a rotation\n{PUBLIC}\n\n{other}\n")

    assert read_verify_keys(str(tmp_path / "keys")) == [read_verify_key(PUBLIC), other]
    assert read_verify_keys(PUBLIC) == [read_verify_key(PUBLIC)]
    for bad in (str(tmp_path / "none"), str(tmp_path), "x\x00"):
        with pytest.raises(KeyRefused):
            read_verify_keys(bad)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\n", "a\u2003b"])
def test_name_that_no_note_can_hold_is_refused(name: str) -> None:
    with pytest.raises(KeyRefused):
        make_signer(name)


def test_key_id_is_of_name_type_and_key() -> None:
    raw = base64.b64decode(PUBLIC.split("+", 2)[2])
    assert read_verify_key(PUBLIC).id.hex() == "c74f20a3"
    assert raw[0] == 1
