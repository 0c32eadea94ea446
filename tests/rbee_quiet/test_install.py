"""What a process leaves behind, seen from outside of it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.system import ROOT

KEY = "rbee_live_3kTMd9qZ01ab_abcdefghijklmnopqrstuvwxyz012345_0aB1cD"
MAIL = "anna@example.org"
QUIET = "from rbee_quiet.install import be_quiet; be_quiet({})\n"

# Each says both, in a way of its own.
WAYS = {
    "a handler of the root logger": "import logging; logging.basicConfig(); logging.warning('for %s by %s', MAIL, KEY)",
    "a handler that comes later": "import logging; log = logging.getLogger('x.y'); log.propagate = False\n"
    "log.addHandler(logging.StreamHandler()); log.error(f'{MAIL} {KEY}')",
    "no handler at all": "import logging; logging.getLogger('z').error('%s', {'mail': MAIL, 'key': KEY})",
    "an error that is logged": "import logging\ntry:\n    raise ValueError(MAIL + ' ' + KEY)\n"
    "except ValueError: logging.exception('it failed')",
    "an error with a cause": "import logging\ntry:\n    try: raise KeyError(KEY)\n"
    "    except KeyError as error: raise ValueError(MAIL) from error\nexcept ValueError: logging.exception('it failed')",
    "uvicorn": "import logging.config, uvicorn.config\nlogging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)\n"
    "logging.getLogger('uvicorn.error').error('%s %s', MAIL, KEY, exc_info=ValueError(MAIL + ' ' + KEY))",
    "Celery": "import logging; from celery.utils.log import get_task_logger, ColorFormatter\n"
    "h = logging.StreamHandler(); h.setFormatter(ColorFormatter('%(message)s')); log = get_task_logger('t')\n"
    "log.addHandler(h); log.error('%s %s', MAIL, KEY, exc_info=ValueError(MAIL + ' ' + KEY))",
    "a warning": "import logging, warnings; logging.basicConfig(); warnings.warn(MAIL + ' ' + KEY)",
    "a thread that fails": "import threading\ndef f(): raise ValueError(MAIL + ' ' + KEY)\n"
    "t = threading.Thread(target=f); t.start(); t.join()",
    "a destructor that fails": "class C:\n    def __del__(self): raise ValueError(MAIL + ' ' + KEY)\nC()",
    "an end by an error": "raise ValueError(MAIL + ' ' + KEY)",
    "arguments that do not fit": "import logging; logging.error(f'%d {MAIL} {KEY}', KEY)",
    "a task of asyncio that fails": "import asyncio\nasync def f(): raise ValueError(MAIL + ' ' + KEY)\n"
    "async def main():\n    t = asyncio.create_task(f())\n    await asyncio.sleep(0.01)\n    del t\nasyncio.run(main())",
}


def said_by(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@cache
def loudly(way: str) -> str:
    return said_by(f"KEY = {KEY!r}; MAIL = {MAIL!r}\n" + WAYS[way])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["", "name_errors_only=True"])
def test_no_way_into_a_log_is_open(way: str, how: str) -> None:
    names = f"KEY = {KEY!r}; MAIL = {MAIL!r}\n"
    loud = loudly(way)
    assert MAIL in loud, "the way itself has to be one"
    assert "abcdefghijklmnopqrstuvwxyz" in loud
    quiet = said_by(QUIET.format(how) + names + WAYS[way])
    assert quiet.strip(), "something is said"
    assert MAIL not in quiet
    assert "abcdefghijklmnopqrstuvwxyz" not in quiet


def test_of_an_error_the_type_and_the_place_are_told_and_where_wanted_what_it_said() -> None:
    code = "import logging\ntry:\n    int('seventeen')\nexcept ValueError: logging.exception('it failed')"
    assert "seventeen" in said_by(QUIET.format("") + code)
    quiet = said_by(QUIET.format("name_errors_only=True") + code)
    assert "ValueError" in quiet
    assert "line 4" in quiet
    assert "seventeen" not in quiet


def test_no_core_is_dumped_also_not_by_a_child(tmp_path: Path) -> None:
    code = "import resource, subprocess, sys\nprint(resource.getrlimit(resource.RLIMIT_CORE))\nsys.stdout.flush()\n"
    code += "subprocess.run([sys.executable, '-c', 'import resource; print(resource.getrlimit(resource.RLIMIT_CORE))'])"
    assert said_by(QUIET.format("") + code).split("\n")[:2] == ["(0, 0)", "(0, 0)"]
