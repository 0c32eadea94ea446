from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbee_quiet.scrub import scrub

KEY = "rbee_live_3kTMd9qZ01ab_abcdefghijklmnopqrstuvwxyz012345_0aB1cD"

CASES = {
    f"key {KEY} is refused": "key rbee_live_3kTMd9qZ01ab_[secret] is refused",
    "rbee_home_3kTMd9qZ01ab_abcdefghijklmnopqrstuvwxyz012345": "rbee_home_3kTMd9qZ01ab_[secret]",
    "token rbee_imp_0190aa_hJ2k-9s_x8d3": "token rbee_imp_[secret]",
    "rbee_join_dGhpcyBpcyBhIHRva2Vu": "rbee_join_[secret]",
    "Stripe said sk_live_51Habcdefgh": "Stripe said sk_live_[secret]",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=": "whsec_[secret]",
    "hf_abcdefghijklmnop": "hf_[secret]",
    "Authorization: Bearer abc.def-123456": "Authorization: Bearer [secret]",
    "authorization: basic dXNlcjpwYXNz": "authorization: basic [secret]",
    "postgresql://rbee_app:s3cr-t@127.0.0.1:5432/rbee": "postgresql://rbee_app:[secret]@127.0.0.1:5432/rbee",
    "redis://:hunter2hunter2@127.0.0.1:6379/0": "redis://:[secret]@127.0.0.1:6379/0",
    "{'password': 'correct horse', 'x': 1}": "{'password': '[secret]', 'x': 1}",
    '{"client_secret": "abc", "token":"d e"}': '{"client_secret": "[secret]", "token":"[secret]"}',
    "GET /x?api_key=abcdef&y=1": "GET /x?api_key=[secret]&y=1",
    "no account of anna.b+c@mail.example.org here": "no account of [e-mail] here",
    "GET /x?email=anna%40example.org": "GET /x?email=[e-mail]",
    "<anna@example.org>, bert@example.net": "<[e-mail]>, [e-mail]",
    "jwt eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl": "jwt eyJ_[secret]",
    "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\nafter": "[secret]\nafter",
}


@pytest.mark.parametrize(("said", "kept"), CASES.items(), ids=[text[:24] for text in CASES])
def test_what_is_taken_out_and_what_stays(said: str, kept: str) -> None:
    assert scrub(said) == kept
    assert scrub(kept) == kept


@pytest.mark.parametrize(
    "line",
    [
        "hive gpu-node-01 joined from http://10.0.0.3:7833",
        "task 0190ab_x of rbee-mini: 12 tokens in 0.3 s",
        "celery@control ready.",
        "GET /accounts/login/?next=/dashboard 200",
        "the join token is unknown: make another with `rbee hive token`",
        "http://127.0.0.1:7833/v1/models/a@b",
        "key 3kTMd9qZ01ab is revoked",
    ],
)
def test_an_ordinary_line_is_the_same_object(line: str) -> None:
    assert scrub(line) is line or scrub(line) == line


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_no_surroundings_hide_a_key_from_it(before: str, after: str) -> None:
    assert "abcdefghijklmnopqrstuvwxyz012345" not in scrub(f"{before} {KEY} {after}")


@settings(deadline=None)
@given(st.text(max_size=500))
def test_twice_is_as_once_and_no_line_breaks_it(text: str) -> None:
    once = scrub(text)
    assert scrub(once) == once


@pytest.mark.parametrize(
    "text", ["a@" * 20_000, "://" * 20_000, "_" * 50_000, "password" * 8_000, "a." * 25_000 + "@"]
)
def test_no_line_takes_long(text: str) -> None:
    began = time.process_time()
    scrub(text)
    assert time.process_time() - began < 2


def test_a_line_costs_microseconds() -> None:
    line = "hive gpu-node-01: placement 0190ab of rbee-mini is ready after 1.2 s at http://127.0.0.1:7855"
    began = time.process_time()
    for _ in range(2000):
        scrub(line)
    assert (time.process_time() - began) / 2000 < 100e-6
