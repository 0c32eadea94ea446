"""What the docs say of policies: every block is read as it stands there, and every recipe does what its cases say."""

import re
from pathlib import Path

import pytest
import rhai_py

from rbee_policy.asking import Rejection, ask_routing
from rbee_policy.case_files import read_cases
from rbee_policy.cases import run_cases
from rbee_policy.codes import REJECTION_CODES
from rbee_policy.files import cases_beside, kind_of, problems_in, script_in
from rbee_policy.language import compile_policy
from rbee_policy.reference import rewritten, tables
from rbee_policy.world import defaults
from tests.rbee_policy.test_functions import Worker

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "platform" / "docs"
EXAMPLES = DOCS / "examples" / "policies"
RECIPES = sorted(path for path in EXAMPLES.iterdir() if not path.name.endswith(".cases.yaml"))
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def blocks(language: str, pages: list[Path] = PAGES) -> list[tuple[str, str]]:
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [(page.name, block) for page in pages for block in fence.findall(page.read_text())]


@pytest.mark.parametrize(("page", "script"), blocks("rhai"))
def test_every_script_in_the_docs_can_be_kept(page: str, script: str) -> None:
    compile_policy(script)


@pytest.mark.parametrize(("page", "text"), blocks("yaml", [DOCS / "policies.md", DOCS / "cookbook.md"]))
def test_every_document_in_the_docs_can_be_read(page: str, text: str) -> None:
    assert problems_in("block.yaml", text) == []


def serving(recipe: str, workers: list[Worker], session: str) -> str:
    script = compile_policy((EXAMPLES / recipe).read_text())
    task = rhai_py.Record("task", {**defaults("task"), "session": session})
    left = ask_routing(script, task, workers, turn=0)
    assert not isinstance(left, Rejection)
    return str(left[0].record.get("id"))


def test_the_canary_gets_five_of_a_hundred_sessions_and_keeps_them() -> None:
    workers = [Worker(id="old"), Worker(id="new", group="canary")]
    sessions = [f"session-{number}" for number in range(2000)]

    served = [serving("canary.rhai", workers, session) for session in sessions]

    assert 60 <= served.count("new") <= 140
    assert served == [serving("canary.rhai", workers, session) for session in sessions]


def test_a_session_moves_only_when_its_own_worker_goes() -> None:
    workers = [Worker(id=f"w{number}") for number in range(4)]
    sessions = [f"session-{number}" for number in range(400)]

    before = {session: serving("sticky-sessions.rhai", workers, session) for session in sessions}
    after = {session: serving("sticky-sessions.rhai", workers[1:], session) for session in sessions}

    assert set(before.values()) == {"w0", "w1", "w2", "w3"}
    assert all(before[session] == after[session] for session in sessions if before[session] != "w0")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_does_what_its_cases_say(recipe: Path) -> None:
    script = compile_policy(script_in(recipe.name, recipe.read_text()))
    cases = Path(cases_beside(str(recipe))).read_text()

    results = run_cases(script, read_cases(cases))

    assert len(results) >= 2
    assert [(result.case.name, result.got) for result in results if not result.passed] == []


def test_the_cookbook_has_the_recipes_as_their_files_are() -> None:
    page = [DOCS / "cookbook.md"]
    written = [block for language in ("rhai", "yaml") for _, block in blocks(language, page)]

    assert sorted(written) == sorted(recipe.read_text() for recipe in RECIPES)


def test_every_file_among_the_examples_is_of_use() -> None:
    for path in EXAMPLES.iterdir():
        kind = kind_of(path.name, path.read_text())
        assert (kind == "cases") == path.name.endswith(".cases.yaml")
        assert kind != "cases" or any(cases_beside(str(recipe)) == str(path) for recipe in RECIPES)


def test_the_tables_of_the_reference_are_what_is_in_force() -> None:
    """`python -m rbee_policy.reference platform/docs/policies.md` writes them."""
    page = (DOCS / "policies.md").read_text()

    assert all(f"<!-- {name} -->" in page for name in tables())
    assert page == rewritten(page)


def test_every_code_of_a_rejection_is_in_the_reference() -> None:
    page = (DOCS / "policies.md").read_text()

    assert [code for code in REJECTION_CODES if f"`{code}`" not in page] == []
