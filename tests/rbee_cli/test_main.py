import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rbee_cli.catalog import COMMANDS, GROUPS, app_for, make_app

WHOLE = make_app(COMMANDS, GROUPS)


def run(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`rbee ARGUMENTS` for someone who has never used it."""
    return subprocess.run(
        [sys.executable, "-m", "rbee_cli", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join(sys.path),
            **environment,
        },
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_no_queen_is_exit_code_3_and_one_line(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    done = run("status", home=tmp_path, RBEE_QUEEN_URL=url)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"rbee: no queen answers at {url}: start one by `rbee up`, or name it by --queen-url\n"
    )


def test_error_for_a_program_is_json_on_stderr(tmp_path: Path) -> None:
    done = run("status", "--json", "--queen-url", "http://127.0.0.1:1", home=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert json.loads(done.stderr)["error"]["exit_code"] == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("status", "--nonsense"), "`rbee status --help` shows how"),
        (("hive", "join"), "`rbee hive join --help` shows how"),
        (("up", "--port", "70000"), "`rbee up --help` shows how"),
        (("status", "--queen-url", "ftp://x"), "is no address of a queen"),
        (("status", "--queen-url", "http://x:99999"), "is no address of a queen"),
        (("status", "--api-key", "schlüssel"), "printable ASCII"),
        (("up", "--tls-cert", "cert.pem"), "go together"),
        (("up", "--tls-cert", "no.pem", "--tls-key", "no.pem"), "is no file"),
        (("chat",), "there is no question"),
        (("model", "add", "x/y", "--option", "slots"), "--option takes KEY=VALUE"),
        (("hive", "remove", "a", "--json"), "confirm by --yes"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_line(
    tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    done = run(*arguments, home=tmp_path)
    message = json.loads(done.stderr)["error"]["message"] if "--json" in arguments else done.stderr
    assert done.returncode == 2
    assert complaint in message
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_joining_a_queen_that_is_away_is_exit_code_3(tmp_path: Path) -> None:
    done = run(
        "hive", "join", "http://127.0.0.1:1", "--token", "x", "--dir", str(tmp_path / "hive"), home=tmp_path
    )

    assert done.returncode == 3
    assert "no queen answers at http://127.0.0.1:1" in done.stderr


def test_hive_that_never_joined_is_exit_code_5(tmp_path: Path) -> None:
    done = run("hive", "run", "--dir", str(tmp_path / "none"), home=tmp_path)
    assert done.returncode == 5
    assert "rbee hive join" in done.stderr


def test_every_command_has_help_with_an_example() -> None:
    commands = [["up"], ["status"], ["login"], ["chat"], ["usage"], ["tenant", "create"], ["tenant", "list"]]
    commands += [["model", verb] for verb in ("add", "list", "remove")]
    commands += [["hive", verb] for verb in ("token", "join", "run", "list", "remove")]
    commands += [["key", verb] for verb in ("create", "list", "revoke")]
    commands += [["webhook", verb] for verb in ("create", "list", "show", "events", "test", "rotate", "pause", "resume",
                                                "delete", "deliveries", "replay")]  # fmt: skip
    for command in commands:
        done = CliRunner().invoke(WHOLE, [*command, "--help"], env={"COLUMNS": "200"})
        assert done.exit_code == 0
        assert f"rbee {' '.join(command)}" in done.stdout.split("Example")[-1]


@pytest.mark.parametrize("arguments", [(), ("hive",)])
def test_group_without_a_command_shows_its_commands(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, home=tmp_path)
    assert done.returncode == 2
    assert "Commands" in done.stdout + done.stderr


def test_version_is_told_in_both_ways(tmp_path: Path) -> None:
    version = json.loads(run("version", "--json", home=tmp_path).stdout)["version"]
    assert run("version", home=tmp_path).stdout == f"rbee {version}\n"


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_what_is_loaded_for_one_command_is_what_the_whole_says_of_it(name: str) -> None:
    asked = ([name, "--help"], [name, "nothing", "more", "than", "any", "takes"])

    for arguments in asked:
        part, whole = (
            CliRunner().invoke(app, arguments, prog_name="rbee") for app in (app_for(arguments), WHOLE)
        )
        assert (part.exit_code, part.output) == (whole.exit_code, whole.output)
