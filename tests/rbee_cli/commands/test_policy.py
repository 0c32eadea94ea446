import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = "fn route_task(task, workers) { workers.first() }\n"
CASES = "workers: [{id: a}, {id: b}]\ncases:\n  - {name: the first, expect: a}\n"
RULES = 'rules:\n  - {then: {reject: "Not \\"today\\""}}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.rhai").write_text(GOOD)
    (tmp_path / "good.cases.yaml").write_text(CASES)
    (tmp_path / "rules.yaml").write_text(RULES)
    return tmp_path


def policy(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`rbee policy ARGUMENTS` in that folder, with no queen to be found."""
    return subprocess.run(
        [sys.executable, "-m", "rbee_cli", "policy", *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "COLUMNS": "200",
            "RBEE_QUEEN_URL": "http://127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_what_is_right_is_ok(folder: Path) -> None:
    done = policy(folder, "check", "good.rhai", "good.cases.yaml", "rules.yaml")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "good.rhai: ok\ngood.cases.yaml: ok\nrules.yaml: ok\n"


def test_what_is_wrong_is_said_as_a_compiler_says_it(folder: Path) -> None:
    (folder / "bad.rhai").write_text("fn route_task(task, workers) {\n  workers.first(\n}")
    (folder / "codes.rhai").write_text(
        'fn should_admit(task, customer) {\n  reject("a", "b");\n  reject("c", "d")\n}'
    )
    (folder / "bad.yaml").write_text("rules:\n  - {use: {gpu_typ: A100}}\n")

    done = policy(folder, "check", "bad.rhai", "codes.rhai", "good.rhai", "bad.yaml")

    assert done.returncode == 2
    assert done.stdout == "good.rhai: ok\n"
    places = [line.split(": ")[0] for line in done.stderr.splitlines()]
    assert places == ["bad.rhai:3:1", "codes.rhai:2:3", "codes.rhai:3:3", "bad.yaml:2:12"]
    assert "did you mean 'gpu_type'?" in done.stderr


def test_programs_get_the_same_as_json(folder: Path) -> None:
    (folder / "bad.rhai").write_text("fn other() {}")

    done = policy(folder, "check", "bad.rhai", "good.rhai", "--json")

    bad, good = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (2, "")
    assert (bad["file"], bad["valid"], bad["problems"][0]["line"]) == ("bad.rhai", False, None)
    assert good == {"file": "good.rhai", "valid": True, "problems": []}


def test_rules_are_shown_as_the_script_that_they_are(folder: Path) -> None:
    script = policy(folder, "check", "rules.yaml", "--print").stdout
    (folder / "written.rhai").write_text(script)

    assert 'return reject("Not \\"today\\"");' in script
    assert policy(folder, "check", "written.rhai").returncode == 0


def test_cases_beside_the_script_are_run(folder: Path) -> None:
    done = policy(folder, "test", "good.rhai")

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "1 of 1 cases passed"


def test_a_case_that_fails_is_exit_code_1(folder: Path) -> None:
    (folder / "more.yaml").write_text(CASES + "  - {name: the second, expect: b}\n")

    done = policy(folder, "test", "good.rhai", "--cases", "more.yaml")
    rows = json.loads(policy(folder, "test", "good.rhai", "--cases", "more.yaml", "--json").stdout)

    assert done.returncode == 1
    assert [line.split() for line in done.stdout.splitlines()[1:3]] == [
        ["ok", "the", "first", "a", "a"],
        ["FAILED", "the", "second", "a", "b"],
    ]
    assert rows[1] == {"result": "FAILED", "case": "the second", "got": "a", "expected": "b", "line": 4}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("check",), "Missing argument"),
        (("check", "none.rhai"), "none.rhai cannot be read: No such file or directory"),
        (("check", "."), ". cannot be read: Is a directory"),
        (("check", "latin.rhai"), "latin.rhai is not UTF-8"),
        (("check", "large.rhai"), "large.rhai is larger than 1024 KiB"),
        (
            ("test", "rules.yaml"),
            "there are no cases at rules.cases.yaml: write some, or name them by --cases",
        ),
        (("test", "none.rhai"), "none.rhai cannot be read"),
        (("test", "good.rhai", "--cases", "none.yaml"), "none.yaml cannot be read"),
        (("test", "good.rhai", "--cases", "rules.yaml"), "rules.yaml:1:1: write a list of cases"),
        (("test", "broken.rhai"), "broken.rhai:1:1: "),
        (("test", "good.cases.yaml", "--cases", "good.cases.yaml"), "good.cases.yaml:1:1: it has cases"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(
    folder: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    (folder / "latin.rhai").write_bytes("// schön".encode("latin-1"))
    (folder / "large.rhai").write_bytes(b" " * ((1 << 20) + 1))
    (folder / "broken.rhai").write_text("}")
    (folder / "broken.cases.yaml").write_text(CASES)

    done = policy(folder, *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert complaint in done.stderr
