"""`rbee key`, against a running colony."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.rbee_cli.conftest import SecureSystem


def test_key_brought_along_answers(secure: SecureSystem) -> None:
    value = "sk-from-another-gateway-0123456789"
    assert secure.run("key", "create", "--value", "-", stdin=f"{value}\n").stdout == f"{value}\n"
    assert secure.run_as(value, "chat", "What is rbee?", "--max-tokens", "5").returncode == 0


def test_key_of_another_gateway_is_imported_and_one_that_can_be_guessed_is_not(secure: SecureSystem) -> None:
    value = "sk-of-a-third-gateway-9876543210"
    assert value not in secure.run("key", "import", "--name", "theirs", stdin=f"{value}\n").stdout
    assert secure.run_as(value, "chat", "What is rbee?", "--max-tokens", "5").returncode == 0
    again = secure.run("key", "import", stdin=f"{value}\n", check=False)
    weak = secure.run("key", "import", stdin="customer-key-1234\n", check=False)
    insisted = secure.run("key", "import", "--allow-weak", stdin="customer-key-1234\n")
    assert (again.returncode, weak.returncode) == (2, 2)
    assert "can be guessed" in weak.stderr
    assert "can be guessed" in insisted.stderr
    assert len(weak.stderr.splitlines()) == 1


def test_key_is_changed_shown_and_listed(secure: SecureSystem) -> None:
    kid = create(secure, "--name", "nightly", "--model", "rbee-*", "--ip", "192.0.2.0/24", "--budget-month", "500",
                 "--scope", "read")["kid"]  # fmt: skip
    secure.run(
        "key", "update", kid, "--name", "daily", "--any-ip", "--budget-day", "50", "--budget-month", "none"
    )
    shown = secure.run_json("key", "show", kid)
    assert shown["budget"] == {"day": 50, "month": None}
    assert (shown["name"], shown["allowed_models"], shown["allowed_ips"]) == ("daily", ["rbee-*"], [])
    assert kid in secure.run("key", "list", "--name", "dail", "--scope", "read", "--status", "active").stdout
    assert "daily" in secure.run("key", "show", kid).stdout
    nothing = secure.run("key", "update", kid, check=False)
    assert (nothing.returncode, len(nothing.stderr.splitlines())) == (2, 1)


def test_rotated_key_answers_by_both_values_until_the_old_one_ends(secure: SecureSystem) -> None:
    before = create(secure, "--name", "rotated")
    new = secure.run("key", "rotate", before["kid"], "--overlap", "2h").stdout.strip()
    for value in (before["key"], new):
        assert secure.run_as(value, "chat", "What is rbee?", "--max-tokens", "5").returncode == 0
    rotated = secure.run_json("key", "rotate", before["id"], "--overlap", "0")
    assert rotated["previous"] is None
    time.sleep(1)
    assert secure.run_as(new, "chat", "What is rbee?", check=False).returncode == 4


def test_key_that_leaked_is_killed_by_anybody(secure: SecureSystem) -> None:
    key, other = create(secure, "--name", "leaked"), create(secure, "--name", "leaked too")
    said = {
        secure.run_as("", "key", "kill", key["key"]).stdout,
        secure.run_as("", "key", "kill", stdin=f"{other['key']}\n").stdout,
        secure.run_as("", "key", "kill", "-", stdin="rbee_live_nobody\n").stdout,
    }
    assert said == {"reported: if it was a key of this queen, it is one no more\n"}
    for killed in (key, other):
        assert secure.run_json("key", "show", killed["kid"])["revoked_for"] == "leaked"


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nothing"),
        ("rotate", "nothing"),
        ("revoke", "nothing", "--yes"),
        ("update", "nothing", "--name", "x"),
    ],
)
def test_key_that_is_not_there_is_exit_code_5(secure: SecureSystem, arguments: tuple[str, ...]) -> None:
    done = secure.run("key", *arguments, check=False)
    assert (done.returncode, done.stderr) == (5, "rbee: There is no such key.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("rotate", "x", "--overlap", "soon"),
        ("rotate", "x", "--overlap", "-1"),
        ("create", "--budget-day", "1.5"),
        ("update", "x", "--budget-month", "much"),
        ("create", "--ip", "nowhere"),
    ],
)
def test_what_makes_no_sense_is_one_line(secure: SecureSystem, arguments: tuple[str, ...]) -> None:
    done = secure.run("key", *arguments, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def create(secure: SecureSystem, *arguments: str) -> dict[str, Any]:
    made = secure.run_json("key", "create", *arguments)
    assert isinstance(made, dict)
    return made
