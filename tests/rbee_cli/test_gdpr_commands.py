"""`rbee gdpr`, against a running colony."""

from __future__ import annotations

import json
from typing import Any

from tests.rbee_cli.conftest import SecureSystem


def test_record_comes_in_each_format(secure: SecureSystem) -> None:
    assert "# Record of processing" in secure.run("gdpr", "record", "--operator-name", "Acme GmbH").stdout
    assert json.loads(secure.run("gdpr", "record", "--format", "json").stdout)["object"] == "gdpr.record"
    secure.run("gdpr", "record", "--format", "csv", "--output", "record.csv")
    assert (secure.home / "record.csv").read_text().startswith("activity,role,purpose")
    refused = secure.run("gdpr", "record", "--output", "no/such/folder/record.md", check=False)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)


def test_plan_is_of_somebody(secure: SecureSystem) -> None:
    rows: Any = secure.run_json("gdpr", "plan", "--subject")
    assert {"billing_usageevent", "inference_decision"} <= {row["place"] for row in rows}
    nobody = secure.run("gdpr", "plan", check=False)
    assert (nobody.returncode, len(nobody.stderr.splitlines())) == (2, 1)


def test_retention_counts_and_asks_before_it_deletes(secure: SecureSystem) -> None:
    assert "tenants_invitation" in secure.run("gdpr", "retention", "--dry-run").stdout
    assert secure.run("gdpr", "retention", stdin="n\n", check=False).returncode == 1
    assert secure.run("gdpr", "retention", "--yes").returncode == 0


def test_documents_and_sub_processors(secure: SecureSystem) -> None:
    made: Any = secure.run_json("gdpr", "subprocessor", "add", "Hosting AG", "--country", "DE", "--purpose",
                                "runs the machines", "--data", "all")  # fmt: skip
    assert "Hosting AG" in secure.run("gdpr", "subprocessor", "list").stdout
    assert "HTTPS, at https://" in secure.run("gdpr", "document", "security").stdout
    assert "Hosting AG" in secure.run("gdpr", "document", "dpa", "--customer-name", "Lumon Ltd").stdout
    secure.run("gdpr", "subprocessor", "remove", made["id"], "--yes")
    again = secure.run("gdpr", "subprocessor", "remove", made["id"], "--yes", check=False)
    assert (again.returncode, again.stderr.strip()) == (6, "rbee: Hosting AG is ended.")


def test_what_is_kept_of_prompts_is_a_tenants_to_say(secure: SecureSystem) -> None:
    secure.run("tenant", "create", "keeps", "--plan", "pro")
    made: Any = secure.run_json("key", "create", "--tenant", "keeps", "--name", "officer", "--scope", "gdpr")
    officer = made["key"]

    assert "of keeps are not kept" in secure.run_as(officer, "gdpr", "content", "show").stdout
    assert "are kept for 7 days" in secure.run_as(officer, "gdpr", "content", "set", "--days", "7").stdout
    assert "nothing is kept" in secure.run_as(officer, "gdpr", "content", "list").stdout
    absent = secure.run_as(officer, "gdpr", "content", "read", "chatcmpl-" + "0" * 32, check=False)
    assert (absent.returncode, absent.stderr) == (5, "rbee: Nothing is kept of such a task.\n")
    asked = secure.run_as(officer, "gdpr", "content", "off", stdin="n\n", check=False)
    assert asked.returncode == 1
    assert "of 0 tasks of keeps is deleted for good" in asked.stdout
    assert "nothing is kept" in secure.run_as(officer, "gdpr", "content", "off", "--yes").stdout
    assert secure.run("gdpr", "content", "show").stdout.startswith("prompts and outputs of operator are not")
    too_long = secure.run_as(officer, "gdpr", "content", "set", "--days", "401", check=False)
    assert too_long.returncode == 2
