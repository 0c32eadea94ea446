"""Every command against a running colony, by its output and its exit code."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
import tomllib

from tests.rbee_cli.conftest import SecureSystem
from tests.system import rbee


def test_printed_curl_works_and_holds_no_key(secure: SecureSystem) -> None:
    command = re.search(r"curl .*\\\n.*", secure.output)
    assert command
    assert secure.operator_key not in command[0]
    done = subprocess.run(["bash", "-c", command[0]], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["mode"] == "business"


def test_nothing_is_keyless(secure: SecureSystem) -> None:
    assert secure.run_as("", "status", check=False).returncode == 4
    assert secure.run_as("", "chat", "What is rbee?", check=False).returncode == 4


def test_login_keeps_management_and_inference_keys_apart(secure: SecureSystem) -> None:
    inference_key = create_key(secure)
    secure.run_as("", "login", "--key-file", str(secure.data_dir / "operator.key"))
    secure.run_as("", "login", stdin=f"{inference_key}\n")

    file = secure.home / ".config" / "rbee" / "config.toml"
    assert tomllib.loads(file.read_text()) == {
        "queen_url": secure.url,
        "management": {"api_key": secure.operator_key},
        "inference": {"api_key": inference_key},
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert secure.run_as("", "status").returncode == 0
    assert secure.run_as("", "chat", "What is rbee?", "--max-tokens", "5").returncode == 0
    file.unlink()


def test_login_with_a_wrong_key_keeps_nothing(secure: SecureSystem) -> None:
    done = secure.run_as("", "login", stdin="rbee_live_wrong\n", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1)
    assert not (secure.home / ".config" / "rbee" / "config.toml").exists()


def test_neither_kind_of_key_does_the_work_of_the_other(secure: SecureSystem) -> None:
    manage = secure.run_as(create_key(secure), "status", check=False)
    infer = secure.run_as(secure.operator_key, "chat", "What is rbee?", check=False)
    assert (manage.returncode, infer.returncode) == (4, 4)
    assert "the management key that was sent is not enough" in manage.stderr
    assert "the inference key that was sent is not enough" in infer.stderr


def test_revoked_key_is_refused(secure: SecureSystem) -> None:
    made = secure.run_json("key", "create", "--name", "short-lived")
    assert made["kid"] in secure.run("key", "list").stdout
    assert secure.run_json("key", "revoke", made["kid"], "--yes") == {"revoked": made["kid"]}
    assert made["kid"] not in [key["kid"] for key in secure.run_json("key", "list")]
    assert made["kid"] in [key["kid"] for key in secure.run_json("key", "list", "--all")]
    time.sleep(1)
    assert secure.run_as(made["key"], "chat", "What is rbee?", check=False).returncode == 4


def test_tenant_is_there_once(secure: SecureSystem) -> None:
    assert secure.run_json("tenant", "create", "acme", "--plan", "pro")["plan"] == "pro"
    again = secure.run("tenant", "create", "acme", check=False)
    assert (again.returncode, again.stderr) == (6, "rbee: There is a tenant acme already.\n")
    assert "acme" in secure.run("tenant", "list").stdout


def test_model_is_placed_priced_and_removed(secure: SecureSystem) -> None:
    unpriced = secure.run("model", "add", "builtin:rbee-mini", "--name", "second", check=False)
    assert unpriced.returncode == 2
    assert "--free" in unpriced.stderr
    added = secure.run("model", "add", "builtin:rbee-mini", "--name", "second", "--input-price", "0.2", "--output-price", "0.8")  # fmt: skip
    assert added.stdout.splitlines()[0] == "second is placed on local"
    assert added.stdout.splitlines()[-1].startswith("  local: ready")
    row = next(line for line in secure.run("model", "list").stdout.splitlines() if line.startswith("second"))
    assert "0.20 / 0.80 EUR" in row
    assert secure.run("model", "remove", "second", "--yes").returncode == 0
    assert secure.run("model", "remove", "second", "--yes", check=False).returncode == 5


def test_model_that_cannot_start_says_why(secure: SecureSystem) -> None:
    done = secure.run("model", "add", "/nowhere/model.gguf", "--free", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("rbee: model did not start on local: ")
    assert "/nowhere/model.gguf" in done.stderr
    secure.run("model", "remove", "model", "--yes")


def test_second_hive_joins_and_leaves(secure: SecureSystem) -> None:
    token = secure.run_json("hive", "token", "--region", "EU", "--label", "gpu_type=H100")
    assert token["command"] == f"rbee hive join {secure.url} --token {token['token']}"
    folder = secure.data_dir.parent / "second"
    join = [
        "hive",
        "join",
        secure.url,
        "--token",
        "-",
        "--name",
        "gpu-node-03",
        "--dir",
        str(folder),
        "--no-run",
    ]
    assert json.loads(secure.run(*join, "--json", stdin=token["token"]).stdout)["name"] == "gpu-node-03"
    hive = next(hive for hive in secure.run_json("hive", "list") if hive["name"] == "gpu-node-03")
    assert (hive["region"], hive["labels"], hive["state"]) == ("EU", {"gpu_type": "H100"}, "offline")
    used = secure.run(*join[:-2], f"{folder}-2", "--no-run", stdin=token["token"], check=False)
    assert used.returncode == 1
    assert "already used" in used.stderr
    assert secure.run("hive", "remove", "gpu-node-03", "--yes").returncode == 0
    assert secure.run("hive", "remove", "gpu-node-03", "--yes", check=False).returncode == 5


def test_removal_that_is_not_confirmed_removes_nothing(secure: SecureSystem) -> None:
    done = secure.run("hive", "remove", "local", stdin="n\n", check=False)
    assert (done.returncode, done.stderr) == (1, "rbee: nothing was removed\n")
    assert [hive["name"] for hive in secure.run_json("hive", "list")] == ["local"]


def test_chat_answers_once_and_usage_names_it(secure: SecureSystem) -> None:
    key = create_key(secure)
    streamed = secure.run_as(key, "chat", "What is rbee?", "--temperature", "0").stdout
    whole = json.loads(
        secure.run_as(key, "chat", "--temperature", "0", "--json", stdin="What is rbee?").stdout
    )
    assert streamed == whole["choices"][0]["message"]["content"] + "\n"
    deadline = time.monotonic() + 10
    while len(rows := [row for row in secure.run_json("usage") if row["key"] == key.split("_")[2]]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert {row["outcome"] for row in rows} == {"completed"}
    assert {row["hive"] for row in rows} == {"local"}
    assert "rbee-mini" in secure.run("usage").stdout


def test_unknown_model_is_exit_code_5(secure: SecureSystem) -> None:
    done = secure.run_as(create_key(secure), "chat", "Hello", "--model", "nobody", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (5, 1)


def test_ctrl_c_ends_an_answer_and_not_the_conversation(secure: SecureSystem) -> None:
    secure.run("model", "add", "echo:", "--name", "slow", "--engine", "echo", "--free", "--option", "delay_ms=50",
               "--option", "tokens=400")  # fmt: skip
    with Terminal(secure, "chat", "--model", "slow", "--api-key", create_key(secure)) as terminal:
        terminal.read_until("> ")
        terminal.write("count\n")
        terminal.read_until("countcount")
        terminal.write("\x03")
        assert "(ended)" in terminal.read_until("> ")
        terminal.write("/model rbee-mini\nWhat is rbee?\n")
        assert "rbee" in terminal.read_until("> ", times=2)
        terminal.write("\x04")
        assert terminal.process.wait(10) == 0
    secure.run("model", "remove", "slow", "--yes")


def test_operators_key_is_shown_once_and_kept_private(secure: SecureSystem) -> None:
    key, file = secure.operator_key, secure.data_dir / "operator.key"
    assert secure.output.count(key) == 1
    assert f'-H "Authorization: Bearer $(cat {file})"' in secure.output
    assert file.stat().st_mode & 0o777 == 0o600
    secure.stop()
    secure.start()
    assert key not in secure.output
    assert secure.operator_key == key


def create_key(secure: SecureSystem) -> str:
    return str(secure.run_json("key", "create", "--name", "test")["key"])


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, secure: SecureSystem, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *rbee(), *arguments],
            env={**secure.environment(), "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # Whoever started the tests in the background may have had them ignore it, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 -- no threads run here
        )
        os.close(theirs)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def write(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read_until(self, mark: str, *, times: int = 1, timeout_s: float = 30) -> str:
        seen = ""
        deadline = time.monotonic() + timeout_s
        while seen.count(mark) < times:
            assert time.monotonic() < deadline, seen
            if select.select([self._ours], [], [], 0.1)[0]:
                seen += os.read(self._ours, 4096).decode(errors="replace")
        return seen


def test_limits_are_set_and_listed(secure: SecureSystem) -> None:
    secure.run("tenant", "create", "limited", "--plan", "free")
    manage = secure.run_json("key", "create", "--tenant", "limited", "--scope", "manage")
    done = secure.run(
        "limit", "set", "key", manage["kid"], "tokens_per_day=500", "spend_micros_per_month=9", "--soft"
    )
    assert done.stdout.strip() == f"the limits of key {manage['kid']} are set"
    rows = json.loads(secure.run_as(manage["key"], "limit", "list", "--json").stdout)
    assert {(row["level"], row["limit"], row["allowed"], row["soft"]) for row in rows} == {
        ("key", "tokens_per_day", 500, True), ("key", "spend_micros_per_month", 9, True),
        ("tenant", "requests", 300, False), ("tenant", "tokens", 60_000, False),
        ("tenant", "tokens_per_day", 1_000_000, False), ("tenant", "concurrent_tasks", 4, False),
    }  # fmt: skip
    secure.run("limit", "set", "key", manage["kid"], "tokens_per_day=none", "--hard")
    kept = secure.run_json("limit", "set", "key", manage["kid"], "requests_per_minute=7")
    assert (kept["quantities"], kept["spend_micros"], kept["requests_per_minute"]) == ({}, {"month": 9}, 7)


def test_limits_that_make_no_sense_are_one_line(secure: SecureSystem) -> None:
    for arguments, code in (
        (("tenant", "operator", "bananas_per_day=1"), 2),
        (("tenant", "operator", "tokens_per_day=many"), 2),
        (("tenant", "operator"), 2),
        (("planet", "operator", "tokens_per_day=1"), 2),
        (("tenant", "nobody-here", "tokens_per_day=1"), 5),
    ):
        done = secure.run("limit", "set", *arguments, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr


def test_task_is_explained_by_any_of_its_names(secure: SecureSystem) -> None:
    key = create_key(secure)
    answer = json.loads(secure.run_as(key, "chat", "What is rbee?", "--max-tokens", "5", "--json").stdout)
    task = answer["id"].removeprefix("chatcmpl-")
    deadline = time.monotonic() + 5
    while not any(row["id"].replace("-", "") == task for row in secure.run_json("task", "list")):
        assert time.monotonic() < deadline

    told = secure.run("task", "explain", answer["id"]).stdout
    found = secure.run_json("task", "explain", task)

    assert found["outcome"] == "routed"
    assert found["attempts"][0]["chosen"] == found["worker"]
    assert re.search(rf"^{found['worker']} .* serves$", told.replace("\r", ""), re.MULTILINE)
    assert f"sha256 {found['policies']['operator']['sha256'][:16]}" in told
    assert secure.run_json("task", "explain", found["request_id"])["id"] == found["id"]
    assert secure.run_json("task", "list", "--outcome", "rejected", "--model", "rbee-mini") == []
    missing = secure.run("task", "explain", "chatcmpl-nothing", check=False)
    assert (missing.returncode, len(missing.stderr.splitlines())) == (5, 1)
    assert secure.run("task", "list", "--since", "yesterday", check=False).returncode == 2


def test_alerts_are_listed_and_closed(secure: SecureSystem) -> None:
    scheduler = secure.scheduler_file
    scheduler.parent.mkdir(parents=True, exist_ok=True)
    scheduler.write_text('fn route_task(task, workers) { if task.model != "" { [task][0].nothing } }')
    try:
        key = create_key(secure)
        deadline = time.monotonic() + 20
        while not (rows := secure.run_json("alert", "list")):
            secure.run_as(key, "chat", "What is rbee?", "--max-tokens", "5", check=False)
            assert time.monotonic() < deadline
    finally:
        scheduler.unlink()

    assert "policy_error" in secure.run("alert", "list").stdout
    secure.run("alert", "close", rows[0]["id"])

    assert secure.run("alert", "list").stdout == "nothing to see to\n"
    assert [row["id"] for row in secure.run_json("alert", "list", "--all")] == [rows[0]["id"]]
    assert secure.run("alert", "close", "nothing", check=False).returncode == 5
