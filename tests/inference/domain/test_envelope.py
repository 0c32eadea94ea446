import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.envelope import BadEnvelope, Envelope, _mac, open_envelope, seal

ENVELOPE = Envelope(
    task="0193", attempt=2, tenant="a", project="b", key="c", subject="s", model="m", endpoint="chat.completions",
    hive="h", worker="w", price="p", tier="pro", region="EU", request_id="req_1", admitted_at_ms=1_764_000_000_000,
    policies=["11", "22"], decision={"candidates": 3, "chosen": "w", "micros": 40},
)  # fmt: skip


def test_what_was_sealed_is_what_is_opened() -> None:
    assert open_envelope(seal(ENVELOPE)) == ENVELOPE


@given(st.integers(min_value=0, max_value=len(seal(ENVELOPE)) - 1), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_noticed(position: int, flip: int) -> None:
    sealed = bytearray(seal(ENVELOPE))
    sealed[position] ^= flip
    with pytest.raises(BadEnvelope):
        open_envelope(bytes(sealed))


@given(st.binary(max_size=200))
def test_nonsense_is_no_envelope(sealed: bytes) -> None:
    with pytest.raises(BadEnvelope):
        open_envelope(sealed)


def test_a_sealed_message_of_another_shape_is_refused() -> None:
    payload = msgspec.msgpack.encode(["0193", 2])
    with pytest.raises(BadEnvelope, match="another version"):
        open_envelope(_mac(payload) + payload)


def test_an_envelope_of_before_a_field_was_appended_opens() -> None:
    payload = msgspec.msgpack.encode(list(msgspec.structs.astuple(ENVELOPE))[:15])
    opened = open_envelope(_mac(payload) + payload)
    assert (opened.request_id, opened.policies, opened.decision) == ("req_1", [], {})
