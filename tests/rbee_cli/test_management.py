"""What is left of managing by the command line, and the page about the API: run as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rbee_cli.conftest import SecureSystem

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "platform/docs/management-api.md").read_text()


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))


def test_audit_log_is_looked_through(secure: SecureSystem) -> None:
    secure.run("tenant", "create", "audited")
    kid = secure.run_json("key", "create", "--tenant", "audited")["kid"]
    secure.run("key", "revoke", kid, "--yes")

    rows = secure.run_json("audit", "search", "--tenant", "audited", "--event", "key.*")

    assert [(row["event"], row["about"], row["tenant"]) for row in rows] == [
        ("key.revoked", f"key:{kid}", "audited"),
        ("key.issued", f"key:{kid}", "audited"),
    ]
    assert secure.run_json("audit", "search", "--about", f"key:{kid}", "--limit", "1") == rows[:1]
    assert secure.run_json("audit", "search", "--actor", rows[0]["actor"], "--about", f"key:{kid}") == rows
    assert secure.run_json("audit", "search", "--tenant", "audited", "--until", rows[1]["at"]) != []
    assert (
        secure.run_json("audit", "search", "--about", f"key:{kid}", "--since", "2099-01-01T00:00:00Z") == []
    )
    assert "key.revoked" in secure.run("audit", "search", "--about", f"key:{kid}").stdout
    refused = secure.run("audit", "search", "--since", "yesterday", check=False)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)


def test_one_of_each_is_shown(secure: SecureSystem) -> None:
    secure.run("tenant", "create", "umbrella", "--plan", "pro")
    project = secure.run_json("project", "show", "default", "--tenant", "umbrella")
    assert (project["slug"], project["tenant"]) == ("default", "umbrella")
    secure.run("limit", "set", "project", project["id"], "requests_per_minute=5", "tokens_per_day=7")

    shown = secure.run_json("limit", "show", "project", project["id"])
    assert (shown["requests_per_minute"], shown["quantities"]) == (5, {"tokens": {"day": 7}})
    assert "requests_per_minute" in secure.run("limit", "show", "project", project["id"]).stdout
    assert secure.run_json("member", "list", "--tenant", "umbrella", "--role", "owner") == []
    for arguments, code in (
        (("project", "show", "no-such"), 5),
        (("limit", "show", "planet", "x"), 2),
        (("limit", "show", "tenant", "no-such"), 5),
        (("member", "show", "nobody@example.org"), 5),
        (("member", "list", "--role", "king"), 2),
    ):
        done = secure.run(*arguments, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr


def test_usage_is_filtered(secure: SecureSystem) -> None:
    key = secure.run_json("key", "create", "--name", "used")
    assert secure.run_json("usage", "--key", key["kid"], "--since", "2027-01-01T00:00:00Z") == []
    assert secure.run("usage", "--key", "no-such-key", check=False).returncode == 5


@pytest.fixture
def environment(secure: SecureSystem) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(secure.home),
        "RBEE_QUEEN_URL": secure.url,
        "RBEE_API_KEY": secure.operator_key,
        "OPENAI_BASE_URL": f"{secure.url}/v1",
        "SSL_CERT_FILE": str(secure.certificate),
        "CURL_CA_BUNDLE": str(secure.certificate),
    }


def test_commands_of_the_page_do_what_it_says(secure: SecureSystem, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", blocks("bash")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.lower().count("idempotent-replayed: true") == 1
    assert re.search(r"^200\n412$", done.stdout, re.MULTILINE)
    assert '"type":"api_key.created"' in done.stdout
    assert '"object":"page"' in done.stdout
    assert secure.run_json("project", "show", "website", "--tenant", "shop")["name"] == "First"


def test_python_of_the_page_runs(secure: SecureSystem, environment: dict[str, str]) -> None:
    secure.run("tenant", "create", "python-shop")
    made = secure.run_json("key", "create", "--tenant", "python-shop", "--scope", "manage")

    done = subprocess.run(
        [sys.executable, "-c", blocks("python")],
        env=environment | {"OPENAI_ADMIN_KEY": made["key"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    value = done.stdout.splitlines()[0]
    assert secure.run_as(value, "chat", "What is rbee?", "--max-tokens", "5").returncode == 0
    names = [
        row["name"] for row in json.loads(secure.run_as(made["key"], "project", "list", "--json").stdout)
    ]
    assert names == ["Support", "Default"]


def test_audit_log_is_exported_and_kept_for_a_time(secure: SecureSystem, tmp_path: Path) -> None:
    secure.run("tenant", "create", "exported")
    file = tmp_path / "log.json"

    made = secure.run_json(
        "audit", "export", "--tenant", "exported", "--event", "tenant.*", "--to", str(file)
    )

    (entry,) = json.loads(file.read_text())
    assert made == {"file": str(file), "bytes": file.stat().st_size}
    assert entry["event"] == "tenant.created"
    assert (
        secure.run("audit", "export", "--to", str(file), check=False).returncode == 1
    )  # it is there already
    cef = secure.run(
        "audit", "export", "--tenant", "exported", "--event", "tenant.*", "--format", "cef"
    ).stdout
    assert cef.startswith("CEF:0|rbee|rbee|1|tenant.created|")
    assert secure.run("audit", "export", "--tenant", "nobody", check=False).returncode == 5
    kept = secure.run_json("audit", "retention")
    assert (kept["years"], kept["minimum_index"]) == (7, 0)
    assert {row["state"] for row in kept["months"]} <= {"running", "waiting"}


def test_breach_is_opened_told_and_closed(secure: SecureSystem) -> None:
    opened = secure.run_json("breach", "open", "a key was public", "--since", "2026-01-10T08:00:00Z")
    breach = opened["id"]

    shown = secure.run("breach", "show", breach).stdout
    assert "a key was public" in shown
    assert re.search(r"7[12] h \d+ min", shown)
    assert "added a fact" in secure.run("breach", "add-fact", breach, "added a fact").stdout
    draft = secure.run("breach", "show", breach, "--draft", "authority").stdout
    assert draft.startswith("# Notification of a personal data breach: a key was public\n")
    assert secure.run("breach", "show", breach, "--draft", "nobody", check=False).returncode == 5
    assert secure.run_json("breach", "close", breach, "keys were rotated")["state"] == "closed"
    assert secure.run("breach", "close", breach, "again", check=False).returncode == 6
    assert [row["state"] for row in secure.run_json("breach", "list") if row["id"] == breach] == ["closed"]
    assert secure.run("breach", "open", "x", "--since", "tomorrow", check=False).returncode == 2
