"""Every command and script in README and the docs is run as it stands there, placeholders apart."""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import rhai_py

from rbee.env import VARIABLES
from rbee_policy.asking import ask_admission, ask_routing
from rbee_policy.language import admits, compile_policy, router_of
from rbee_policy.world import defaults
from tests.prompt import run_rbee
from tests.system import ROOT, System

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "platform" / "docs").rglob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [(page.name, block) for page in PAGES for block in fence.findall(page.read_text())]


# Those of the cookbook are run by their cases: tests/rbee_policy/test_docs.py.
SCRIPTS = [(page, script) for page, script in blocks("rhai") if page != "cookbook.md"]


@pytest.mark.parametrize(("page", "script"), SCRIPTS)
def test_script_in_the_docs_can_be_kept_and_admits_and_routes(page: str, script: str) -> None:
    compiled = compile_policy(script)
    worker = rhai_py.Record("worker", defaults("worker"))
    task = rhai_py.Record("task", defaults("task"))
    offered = SimpleNamespace(record=worker)

    if admits(compiled):
        assert ask_admission(compiled, task, rhai_py.Record("customer", defaults("customer"))) is None
    if router_of(compiled):
        assert list(ask_routing(compiled, task, [offered], turn=0)) == [offered]


@pytest.mark.timeout(900)  # each command is a process
def test_rbee_commands_in_the_docs_run(home: System) -> None:
    for examples in ("policies", "prices"):
        shutil.copytree(ROOT / "platform/docs/examples" / examples, home.home, dirs_exist_ok=True)
    replies: dict[str, str] = {
        "DATA/": f"{home.data_dir}/",
        "FIRST-MACHINE:7833": home.url.removeprefix("http://"),
        "chatcmpl-01936f1e5d3a7c419a552f0d6c1e8b7a": explained_task(home),
    }
    ran = []
    for _, block in blocks("bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if not line.startswith("rbee ") or line.startswith("rbee up"):
                continue
            arguments = [filled(word, replies) for word in shlex.split(line, comments=True)[1:]]
            if arguments[:2] == ["hive", "join"]:
                arguments += ["--no-run", "--dir", str(home.data_dir.parent / "hive-of-the-docs")]
            if arguments[:2] == ["model", "add"]:
                arguments.append("--no-wait")  # there may be no network; the worker reports that by itself
            typed = "correct horse battery" if "read from standard input" in line else ""
            done = home.run(*arguments, check=False, stdin=typed)
            if arguments[:2] == ["hive", "token"]:
                replies["TOKEN"] = re.search(r"--token (\S+)", done.stdout).group(1)
            if arguments[:2] in (["key", "create"], ["key", "rotate"]):
                replies["SECRET"] = done.stdout.strip()
                replies["KID"] = done.stdout.split("_")[2]
            if arguments[:2] == ["billing", "pay"]:
                replies["INV-2027-000042"] = json.loads(home.run("invoice", "list", "--json").stdout)[0][
                    "number"
                ]
            if arguments[0] == "chat":  # its model needs a network
                assert done.returncode in {0, 1}
            else:
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            ran.append(line)
    assert len(ran) >= 5


def explained_task(home: System) -> str:
    """The answer to a task, once its decision is on record."""
    body = {"model": "rbee-mini", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    answer: str = httpx.post(f"{home.url}/v1/chat/completions", json=body, timeout=60).json()["id"]
    deadline = time.monotonic() + 10
    while home.run("task", "explain", answer, check=False).returncode != 0:
        assert time.monotonic() < deadline
    return answer


def filled(word: str, replies: dict[str, str]) -> str:
    for placeholder, value in replies.items():
        word = word.replace(placeholder, value)
    return word


def test_curl_in_readme_answers(home: System) -> None:
    page, block = next((page, block) for page, block in blocks("bash") if block.startswith("curl"))
    command = block.replace("http://127.0.0.1:7833", home.url)

    output = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    assert page == "README.md"
    assert output.rstrip().endswith("data: [DONE]")


def test_every_command_named_in_text_exists(tmp_path: Path) -> None:
    word, named = "[a-z]+(?:-[a-z]+)*", set()
    for page in PAGES:
        named |= {
            found.strip() for found in re.findall(rf"`rbee ({word}(?: {word})?)[^`]*`", page.read_text())
        }
    for command in sorted(named):
        done = run_rbee(
            [*command.split(), "--help"], env=dict(os.environ), cwd=tmp_path, stdin="", timeout_s=60
        )
        assert done.returncode == 0, f"rbee {command}: {done.stderr}"


def test_every_make_target_named_in_text_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`make ([a-z-]+)", page.read_text())}

    assert named - targets == set()


def test_every_setting_is_in_the_docs() -> None:
    text = (ROOT / "platform" / "docs" / "operating.md").read_text()

    assert [name for name in VARIABLES if f"`{name}`" not in text] == []


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
