"""The same weights in another engine, in an environment of its own."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.engines
@pytest.mark.timeout(1500)
def test_transformers_and_llama_cpp_give_the_same_text() -> None:
    subprocess.run(["make", ".venv-mini/.installed"], cwd=ROOT, check=True)

    done = subprocess.run(
        [ROOT / ".venv-mini" / "bin" / "python", "-m", "rbee_mini.score"],
        cwd=ROOT,
        env={"PYTHONPATH": "platform", "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    print(done.stdout)
    same = re.search(r"same text in both engines: (\d+)/(\d+)", done.stdout)
    assert same
    assert same[1] == same[2]
    assert int(same[2]) >= 100
