"""`rbee-hive`, built and installed as on a GPU machine: it serves the embedded model, and Django is not there."""

import subprocess
import sys
from pathlib import Path

import pytest

from hive_agent.protocol import Outcome
from tests.hive_agent.hive import ROOT, bare_environment, running_hive
from tests.hive_agent.redis_server import RedisServer


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hive")
    uv("build", "--wheel", str(ROOT / "platform" / "deploy" / "hive"), "--out-dir", str(folder / "dist"))
    uv("venv", "--python", sys.executable, str(folder / "venv"))
    (wheel,) = (folder / "dist").glob("rbee_hive-*.whl")
    uv("pip", "install", "--python", str(folder / "venv" / "bin" / "python"), str(wheel))
    return folder / "venv" / "bin"


@pytest.mark.timeout(600)
def test_django_is_not_there(installed: Path) -> None:
    done = run(installed / "python", "-c", "import django", check=False)

    assert done.returncode == 1
    assert "No module named 'django'" in done.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize("arguments", [["--help"], ["hive", "--help"]])
def test_command_line_works(installed: Path, arguments: list[str]) -> None:
    assert "hive" in run(installed / "rbee", *arguments).stdout


@pytest.mark.timeout(600)
def test_embedded_model_answers(installed: Path, redis_server: RedisServer, tmp_path: Path) -> None:
    with running_hive(tmp_path, redis_server, str(installed / "python")) as hive:
        mini = hive.place("llama_cpp", "builtin:rbee-mini")
        question = {"messages": [{"role": "user", "content": "What is a hive?"}], "temperature": 0}
        asked = hive.queen.ask(question, worker=mini, stream=False)
        reply = asked.wait()

        assert "GPU machine" in reply.result["choices"][0]["message"]["content"]
        assert reply.end is not None
        assert reply.end.outcome == Outcome.COMPLETED
        assert hive.engine_usage(mini, asked.task) == {
            name: value for name, value in asked.receipt().usage.items() if name != "engine_ms"
        }


def uv(*arguments: str) -> None:
    program = Path(sys.executable).with_name("uv")
    done = subprocess.run([str(program), "--quiet", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run(program: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(program), *arguments], env=bare_environment(), capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stderr
    return done
