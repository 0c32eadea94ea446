"""The life of a policy at the prompt, against a running colony."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rbee_cli.conftest import SecureSystem

LEAST = "fn route_task(task, workers) { workers.least_loaded() }\n"
FIRST = "fn route_task(task, workers) { workers.first() }\n"
CLOSED = 'fn should_admit(task, customer) { if task.max_tokens > 100 { reject("Too long") } }\n'
RULES = "rules:\n  - {when: {task.max_tokens: {gt: 100}}, then: {reject: Too long}}\n"


@pytest.fixture(scope="module")
def tenant(secure: SecureSystem) -> str:
    """With a task on record."""
    secure.run("tenant", "create", "scripted", "--plan", "pro")
    key = secure.run_json("key", "create", "--tenant", "scripted", "--name", "policies")["key"]
    secure.run_as(key, "chat", "What is rbee?", "--max-tokens", "5")
    return "scripted"


def write(secure: SecureSystem, name: str, text: str) -> str:
    (secure.home / name).write_text(text)
    return name


def test_from_push_to_rollback(secure: SecureSystem, tenant: str) -> None:
    of = ["--tenant", tenant]
    write(secure, "least.rhai", LEAST)
    write(secure, "first.rhai", FIRST)

    made = secure.run("policy", "push", "least.rhai", *of, "--comment", "at the beginning").stdout
    assert (
        made == "version 1 of the policy of scripted is kept as a draft; `rbee policy dry-run 1` tries it\n"
    )
    assert "is in force" in secure.run("policy", "activate", "1", *of, "--expect", "0").stdout
    second = secure.run_json("policy", "push", "first.rhai", *of, "--activate", "--on-error", "least_loaded")
    assert (second["number"], second["status"], second["findings"]) == (2, "active", [])
    stale = secure.run("policy", "activate", "1", *of, "--expect", "1", check=False)
    assert (stale.returncode, stale.stdout) == (6, "")
    assert "version 2 is in force, not 1" in stale.stderr

    shown = secure.run("policy", "show", *of).stdout
    assert "number: 2\n" in shown
    assert "on_error: least_loaded\n" in shown
    assert secure.run("policy", "show", "1", *of, "--source").stdout == LEAST
    assert (
        "+fn route_task(task, workers) { workers.first() }" in secure.run("policy", "diff", "2", *of).stdout
    )
    same = secure.run("policy", "diff", "2", "--against", "active", *of).stdout
    assert same == "there is no difference\n"

    assert (
        "version 1 of the policy of scripted is in force again"
        in secure.run("policy", "rollback", *of).stdout
    )
    log = secure.run("policy", "log", *of).stdout.splitlines()
    assert [line.split()[:2] for line in log[1:3]] == [["2", "reverted"], ["1", "active"]]
    assert "at the beginning" in log[2]
    events = secure.run_json("policy", "log", "--events", *of)
    assert [event["event"] for event in events][:2] == ["policy.activated", "policy.activated"]
    assert events[0]["details"]["is_rollback"] is True
    first = secure.run("policy", "rollback", *of)
    assert first.stdout == "no version is in force: the default decides again\n"
    again = secure.run("policy", "rollback", *of, check=False)
    assert (again.returncode, again.stderr) == (
        5,
        "rbee: no version is in force: there is nothing to roll back\n",
    )


def test_dry_run_says_what_would_be_otherwise(secure: SecureSystem, tenant: str) -> None:
    of = ["--tenant", tenant]
    write(secure, "closed.rhai", CLOSED.replace("> 100", "< 100"))
    write(secure, "rules.yaml", RULES)

    said = secure.run("policy", "dry-run", "closed.rhai", *of).stdout
    found = json.loads(secure.run("policy", "dry-run", "rules.yaml", *of, "--last", "1", "--json").stdout)

    assert "replayed 1 tasks: 0 as before, 1 refused, where they ran" in said
    assert "scripted (pro)" in said
    assert "policy_rejected Too long" in said
    assert (found["replayed"], found["unchanged"]) == (1, 1)
    secure.run("policy", "push", "rules.yaml", *of)
    number = str(secure.run_json("policy", "log", *of)[0]["number"])
    assert secure.run_json("policy", "dry-run", number, *of)["new"]["number"] == int(number)
    assert secure.run("policy", "show", number, *of).stdout.endswith(RULES + "\n")


def test_what_cannot_be_is_one_line(secure: SecureSystem, tenant: str) -> None:
    bad = write(secure, "bad.rhai", "fn route_task(task, workers) {\n  workers.first(\n}")
    useless = write(secure, "useless.rhai", "fn should_admit(task, customer) { 7 }")

    for arguments, code, said in [
        (["push", bad], 2, "bad.rhai:3:1: "),
        (["dry-run", bad], 2, "bad.rhai:3:1: "),
        (["push", "nowhere.rhai"], 2, "nowhere.rhai cannot be read"),
        (["push", useless, "--activate"], 6, "breaks whatever it is given"),
        (["push", useless, "--on-error", "shrug"], 2, "on_error"),
        (["activate", "99"], 5, "there is no version 99"),
        (["activate", "yesterday"], 2, "'yesterday' is no version"),
        (["show", "--source"], 2, "--source takes a version"),
    ]:
        done = secure.run("policy", *arguments, "--tenant", tenant, check=False)
        assert (done.returncode, done.stdout) == (code, ""), arguments
        assert said in done.stderr.splitlines()[0]


def test_file_of_the_operator_is_named(secure: SecureSystem) -> None:
    secure.scheduler_file.parent.mkdir(parents=True, exist_ok=True)
    secure.scheduler_file.write_text(LEAST)
    path = Path(write(secure, "mine.rhai", FIRST))
    try:
        done = secure.run("policy", "push", str(path), check=False)
        assert done.returncode == 6
        assert str(secure.scheduler_file) in done.stderr
        assert str(secure.scheduler_file) in secure.run("policy", "show").stdout
    finally:
        secure.scheduler_file.unlink()
