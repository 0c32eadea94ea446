"""Tenants, projects, members, plans and operators by the command line, against a running colony."""

from __future__ import annotations

import json
import re
import shlex
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.rbee_cli.conftest import SecureSystem

ROOT = Path(__file__).parents[2]


def trust(secure: SecureSystem) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(secure.certificate))


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_tenant_is_changed_suspended_deleted_and_restored(secure: SecureSystem) -> None:
    secure.run("tenant", "create", "globex", "--plan", "pro")
    key = secure.run_json("key", "create", "--tenant", "globex")["key"]

    changed = secure.run_json(
        "tenant", "update", "globex", "--plan", "enterprise", "--model", "rbee-*", "--gpu", "H100"
    )
    assert (changed["plan"], changed["allowed_models"], changed["gpu_classes"]) == (
        "enterprise",
        ["rbee-*"],
        ["H100"],
    )
    assert secure.run_json("tenant", "update", "globex", "--unset", "gpu_classes")["gpu_classes"] is None
    assert "enterprise" in secure.run("tenant", "show", "globex").stdout
    assert secure.run_json("tenant", "suspend", "globex", "--yes")["status"] == "suspended"
    assert [row["slug"] for row in secure.run_json("tenant", "list", "--status", "suspended")] == ["globex"]
    assert secure.run_as(key, "chat", "Hi", check=False).returncode == 4
    assert secure.run_json("tenant", "resume", "globex")["status"] == "active"
    assert secure.run_json("tenant", "delete", "globex", "--grace-days", "3", "--yes")["status"] == "deleting"
    assert secure.run_json("tenant", "restore", "globex")["status"] == "active"


def test_plan_is_made_changed_and_deleted(secure: SecureSystem) -> None:
    made = secure.run_json(
        "plan", "create", "early", "--tier", "pro", "--limit", "requests_per_minute=600", "--limit", "images_per_day=5",
        "--limit", "tokens_per_month=9", "--gpu", "A100", "--soft",
    )  # fmt: skip
    assert (made["requests_per_minute"], made["soft"], made["gpu_classes"]) == (600, True, ["A100"])
    assert made["quantities"] == {"images": {"day": 5}, "tokens": {"month": 9}}

    changed = secure.run_json(
        "plan",
        "update",
        "early",
        "--limit",
        "images_per_day=none",
        "--limit",
        "tokens_per_day=3",
        "--any-gpu",
        "--hard",
    )
    assert (changed["quantities"], changed["gpu_classes"]) == ({"tokens": {"day": 3, "month": 9}}, [])
    assert changed["soft"] is False
    secure.run("price", "create", "early-card", "--plan", "early")
    refused = secure.run("plan", "delete", "early", "--yes", check=False)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (6, 1)
    secure.run("plan", "create", "unused")
    assert secure.run_json("plan", "delete", "unused", "--yes") == {"deleted": "unused"}
    assert "early" in secure.run("plan", "list").stdout


def test_projects_are_made_renamed_and_archived(secure: SecureSystem) -> None:
    secure.run("tenant", "create", "gekko")
    secure.run("project", "create", "bot", "--tenant", "gekko")
    assert secure.run_json("project", "rename", "bot", "Chat bot", "--tenant", "gekko")["name"] == "Chat bot"
    secure.run("project", "archive", "bot", "--tenant", "gekko", "--yes")
    assert [row["slug"] for row in secure.run_json("project", "list", "--tenant", "gekko")] == ["default"]
    assert len(secure.run_json("project", "list", "--tenant", "gekko", "--all")) == 2


def test_people_are_invited_and_become_owner(secure: SecureSystem) -> None:
    secure.run("tenant", "create", "hooli")
    for email in ("gavin@hooli.example", "denpok@hooli.example"):
        link = secure.run_json("member", "invite", email, "--tenant", "hooli", "--role", "admin")["link"]
        token = link.rstrip("/").rpartition("/")[2]
        with httpx.Client(base_url=secure.url, verify=trust(secure)) as client:
            body = {"token": token, "password": "correct horse battery"}
            assert client.post("/api/v1/invitations/accept", json=body).status_code == 201

    assert secure.run_json("member", "transfer", "gavin@hooli.example", "--tenant", "hooli", "--yes")
    assert (
        secure.run_json("member", "role", "denpok@hooli.example", "viewer", "--tenant", "hooli")["role"]
        == "viewer"
    )
    rows = secure.run_json("member", "list", "--tenant", "hooli")
    assert {row["email"]: row["role"] for row in rows} == {
        "gavin@hooli.example": "owner", "denpok@hooli.example": "viewer",
    }  # fmt: skip
    secure.run("member", "remove", "denpok@hooli.example", "--tenant", "hooli", "--yes")
    gone = secure.run("member", "remove", "denpok@hooli.example", "--tenant", "hooli", "--yes", check=False)
    assert (gone.returncode, len(gone.stderr.splitlines())) == (5, 1)
    secure.run("member", "invite", "late@hooli.example", "--tenant", "hooli")
    assert "late@hooli.example" in secure.run("member", "invitations", "--tenant", "hooli").stdout
    secure.run("member", "withdraw", "late@hooli.example", "--tenant", "hooli", "--yes")
    assert secure.run_json("member", "invitations", "--tenant", "hooli") == []


def test_people_log_in_at_the_tenants_provider(secure: SecureSystem) -> None:
    secure.run("tenant", "create", "veidt")
    issuer = ["--issuer", "https://login.veidt.example", "--domain", "veidt.example"]
    shown = secure.run("tenant", "sso", "veidt", *issuer, "--client-id", "rbee", stdin="s3cret\n").stdout
    assert "/accounts/oidc/veidt/login/callback/" in shown
    assert "s3cret" not in shown
    saml = ["--saml-url", "https://login.veidt.example/sso", "--certificate", str(secure.certificate)]
    assert secure.run_json("tenant", "sso", "veidt", *issuer, *saml)["kind"] == "saml"
    secure.run("tenant", "sso", "veidt", "--remove", "--yes")
    assert secure.run("tenant", "sso", "veidt", check=False).returncode == 5


def test_operator_visits_a_tenant_and_leaves_it(secure: SecureSystem) -> None:
    secure.run("tenant", "create", "piedpiper")
    token = secure.run("tenant", "impersonate", "piedpiper", "--reason", "ticket 4711").stdout.strip()
    assert [row["slug"] for row in answer(secure.run_as(token, "tenant", "list", "--json"))] == ["piedpiper"]
    assert secure.run_as(token, "key", "create", check=False).returncode == 4
    (visit,) = secure.run_json("tenant", "visits", "piedpiper")
    assert (visit["reason"], visit["requests"]) == ("ticket 4711", 2)
    secure.run("tenant", "visits", "piedpiper", "--end", visit["id"])
    assert secure.run_as(token, "tenant", "list", check=False).returncode == 4


def test_operators_account_logs_in(secure: SecureSystem) -> None:
    made = secure.run("user", "create-operator", "op@example.org", "--json", stdin="correct horse battery\n")
    assert answer(made)["role"] == "owner"
    with httpx.Client(base_url=secure.url, verify=trust(secure)) as client:
        body = {"email": "op@example.org", "password": "correct horse battery"}
        login = client.post("/_allauth/app/v1/auth/login", json=body)
        headers = {"x-session-token": login.json()["meta"]["session_token"]}
        assert client.get("/api/v1/plans", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["plan", "create", "odd", "--limit", "bananas_per_day=1"], 2),
        (["plan", "create", "odd", "--limit", "tokens_per_day=many"], 2),
        (["plan", "update", "pro"], 2),
        (["plan", "show", "no-such"], 5),
        (["plan", "price", "pro", "--input-price", "1"], 2),
        (["tenant", "update", "operator"], 2),
        (["tenant", "update", "no-such", "--plan", "pro"], 5),
        (["tenant", "suspend", "operator", "--yes"], 6),
        (["tenant", "sso", "operator", "--issuer", "https://login.example"], 2),
        (
            [
                "tenant",
                "sso",
                "operator",
                "--issuer",
                "x",
                "--domain",
                "x.example",
                "--saml-url",
                "https://x/",
            ],
            2,
        ),
        (["member", "invite", "no-address"], 2),
        (["member", "role", "nobody@example.org", "admin"], 5),
        (["project", "archive", "no-such", "--yes"], 5),
        (["user", "create-operator", "easy@example.org"], 2),
    ],
)
def test_what_makes_no_sense_is_one_line(secure: SecureSystem, arguments: list[str], code: int) -> None:
    done = secure.run(*arguments, check=False)

    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (code, 1, ""), done.stderr


def test_commands_of_the_docs_do_what_they_say(secure: SecureSystem) -> None:
    docs = (ROOT / "platform/docs/tenants.md").read_text()
    commands = [
        line
        for block in re.findall(r"^```bash\n(.*?)^```", docs, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
        if line.startswith("rbee ")
    ]

    assert len(commands) > 10
    for command in commands:
        secure.run(*shlex.split(command, comments=True)[1:], stdin="correct horse battery\n")
