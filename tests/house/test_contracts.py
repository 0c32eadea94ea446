"""Each import contract refuses the violation that it is there for."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    "platform/rbee",
    "platform/rbee_cli",
    "platform/rbee_mini",
    "platform/rbee_policy",
    "platform/rbee_quiet",
    "tenants",
    "billing",
    "gdpr",
    "inference",
    "hive_agent",
]

PLANTED = {
    "Apps are layered": ("gdpr/planted.py", "import billing.models\n"),
    "Inside each app": ("tenants/domain/planted.py", "import tenants.api\n"),
    "Hives and the command line know neither Django nor an app": ("hive_agent/planted.py", "import django\n"),
    "The transparency log knows neither Django nor an app": ("gdpr/log/planted.py", "import django\n"),
    "The language of policies knows nobody who uses it": (
        "platform/rbee_policy/planted.py",
        "import django\n",
    ),
    "What keeps processes quiet knows nobody who uses it": (
        "platform/rbee_quiet/planted.py",
        "import django\n",
    ),
    "Apps know of a hive only its protocol": ("inference/planted.py", "import hive_agent.agent\n"),
    "Stripe is imported by its gateway only": ("tenants/planted.py", "import stripe\n"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__", "weights", "*.gguf")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold_on_this_tree(tree: Path) -> None:
    result = lint_imports(tree)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("contract", PLANTED)
def test_contract_refuses_a_planted_violation(tree: Path, contract: str) -> None:
    path, line = PLANTED[contract]
    (tree / path).write_text(line)

    result = lint_imports(tree)

    assert result.returncode == 1
    assert f"{contract} BROKEN" in result.stdout


def test_every_contract_has_a_planted_violation() -> None:
    names = {
        line.split('"')[1]
        for line in (ROOT / "pyproject.toml").read_text().split("[tool.importlinter]")[1].splitlines()
        if line.startswith("name = ")
    }

    assert names == set(PLANTED)


def test_platform_is_the_standard_library() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert platform.system() != ""


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{tree}:{tree / 'platform'}", "COLUMNS": "200"}
    return subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
