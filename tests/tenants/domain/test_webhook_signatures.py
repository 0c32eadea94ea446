from __future__ import annotations

import base64
import json
import time
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tenants.domain.webhook_signatures import headers_of, make_secret, seal, shown, unseal

BODIES = st.dictionaries(st.text(max_size=20), st.text(max_size=50) | st.integers()).map(
    lambda body: json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
)
IDS = st.from_regex(r"\Aevt_[0-9a-f]{32}\Z")


@given(
    BODIES.filter(lambda body: b"\xed" not in body),
    IDS,
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3),
)
def test_library_of_the_receivers_accepts_it_by_each_secret(
    body: bytes, message_id: str, secrets: list[bytes]
) -> None:
    headers = headers_of(message_id, int(time.time()), body, secrets)

    for secret in secrets:
        assert Webhook(shown(secret)).verify(body, headers) == json.loads(body)


@given(st.text(st.characters(codec="ascii"), min_size=1, max_size=200).map(str.encode), IDS, st.data())
def test_library_refuses_whatever_was_changed(body: bytes, message_id: str, data: st.DataObject) -> None:
    secret, now = make_secret(), int(time.time())
    headers = headers_of(message_id, now, body, [secret])
    place, flip = data.draw(st.integers(0, len(body) - 1)), data.draw(st.integers(1, 127))
    changed = body[:place] + bytes([body[place] ^ flip]) + body[place + 1 :]

    for other_body, other_headers, other_secret in [
        (changed, headers, secret),
        (body, headers | {"webhook-id": message_id + "0"}, secret),
        (body, headers | {"webhook-timestamp": str(now + 1)}, secret),
        (body, headers_of(message_id, now - 3600, body, [secret]), secret),
        (body, headers, make_secret()),
    ]:
        with pytest.raises(WebhookVerificationError):
            Webhook(shown(other_secret)).verify(other_body, other_headers)


def test_signature_is_the_one_of_the_standard() -> None:
    """The example of https://www.standardwebhooks.com."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'

    headers = headers_of("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [secret])

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_sealed_secret_opens_for_its_endpoint_only() -> None:
    secret, endpoint = make_secret(), uuid4()
    sealed = seal(secret, endpoint)

    assert unseal(sealed, endpoint) == secret
    assert secret not in sealed
    for wrong, owner in [(sealed, uuid4()), (sealed[:-1] + bytes([sealed[-1] ^ 1]), endpoint)]:
        with pytest.raises(ValueError, match="RBEE_SECRET_KEY"):
            unseal(wrong, owner)
