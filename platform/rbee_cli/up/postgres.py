"""The embedded PostgreSQL: a cluster, two roles, and a server that starts again after any death.

The superuser that initdb makes can never log in; roles are made by a single-user server before the first start.
`rbee_owner` owns the database and runs migrations; `rbee_app`, which the queen uses, owns nothing and passes no
row-level security; `rbee_sequencer` numbers audit entries and may do nothing else. The server listens on loopback only, with no Unix socket (whose path may be at most 107 bytes).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from rbee_cli.errors import UpFailed
from rbee_cli.up import binaries, ports
from rbee_cli.up.accounts import service_account
from rbee_cli.up.cluster_lock import clear_stale_postmaster
from rbee_cli.up.folders import make_folders, make_secret, own_folder, read_secret
from rbee_cli.up.process import Process

DATABASE = "rbee"
OWNER = "rbee_owner"
APP = "rbee_app"
SEQUENCER = "rbee_sequencer"

SETTINGS: dict[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "jit": "off",
    "autovacuum_naptime": "60s",
    "log_line_prefix": "%m [%p] %u ",
    "log_parameter_max_length": "0",  # what customers send stays out of logs
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic",  # a statement that fails holds them too
    "log_error_verbosity": "terse",  # and so does the detail of a row that is there already
}
SETTINGS_18: dict[str, str] = {"io_method": "sync"}  # three processes fewer; the data fits the page cache

ACCESS = f"""\
host all {OWNER},{APP},{SEQUENCER} 127.0.0.1/32 scram-sha-256
"""

ROLES = f"""\
CREATE ROLE {OWNER} LOGIN NOSUPERUSER CREATEDB CREATEROLE NOBYPASSRLS;

CREATE ROLE {APP} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;

CREATE DATABASE {DATABASE} OWNER {OWNER};

"""


# Also for a cluster that was made without it.
SEQUENCER_ROLE = f"""\
DO $$ BEGIN
IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{SEQUENCER}') THEN CREATE ROLE {SEQUENCER}; END IF;
END $$;

ALTER ROLE {SEQUENCER} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;

"""


class Postgres:
    """A server of its own in `data_dir`/postgres. `settings` go over those of this module."""

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.account = service_account()
        self.folders = make_folders(data_dir, self.account)
        self.settings = dict(settings or {})
        self.port = 0
        self.process: Process | None = None

    @property
    def owner_url(self) -> str:
        """For migrations."""
        return self._url(OWNER)

    @property
    def app_url(self) -> str:
        """For the queen."""
        return self._url(APP)

    @property
    def sequencer_url(self) -> str:
        """For the process that numbers audit entries."""
        return self._url(SEQUENCER)

    @property
    def is_new(self) -> bool:
        return not (self.folders.postgres / "PG_VERSION").exists()

    def start(self) -> None:
        self.prepare()
        self.spawn()
        self.wait_ready()

    def prepare(self) -> None:
        """Make the cluster if there is none, and end what a killed run of ours left of it."""
        if self.is_new:
            self._make_cluster()
        else:
            clear_stale_postmaster(self.folders.postgres)
            (self.folders.postgres / "pg_hba.conf").write_text(ACCESS)
            self._restore_passwords()

    def spawn(self) -> None:
        major = self._major()
        self.port = ports.remembered_port(self.folders.run / "postgres.port")
        settings = SETTINGS | (SETTINGS_18 if major >= 18 else {}) | {"port": str(self.port)} | self.settings
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process = Process(
            "postgres",
            [self._program("postgres", major), "-D", self.folders.postgres, *arguments],
            log=self.folders.log("postgres"),
            env=_environment(),
            cwd=self.folders.postgres,
            account=self.account,
            stop_signal=signal.SIGINT,  # "fast": ends sessions and writes a checkpoint
            death_signal=signal.SIGINT,
        )
        self.process.start()

    def respawn(self) -> Process:
        """After its end, where everyone expects it: on the same port."""
        assert self.process is not None
        clear_stale_postmaster(self.folders.postgres)
        ports.insist_on(self.port)
        self.process.start()
        return self.process

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Recovery after a kill may take a while; a server that ends while starting does not."""
        assert self.process is not None
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            if not self.process.is_running or time.monotonic() > deadline:
                raise UpFailed(
                    f"PostgreSQL did not start; its log is {self.process.log}",
                    detail=self.process.last_lines(),
                )
            time.sleep(0.01)

    def answers(self) -> bool:
        """The postmaster writes its state into the eighth line of its lock file; pg_ctl reads it there too."""
        try:
            lines = (self.folders.postgres / "postmaster.pid").read_text().split("\n")
        except OSError:
            return False
        return (
            self.process is not None
            and self.process.is_running
            and len(lines) > 7
            and lines[0] == str(self.process.pid)
            and lines[7].strip() == "ready"
        )

    def stop(self, timeout_s: float = 4) -> None:
        if self.process:
            self.process.stop(timeout_s)

    def _make_cluster(self) -> None:
        """In a folder that gets its name when all is done: a kill halfway leaves nothing that looks like a cluster."""
        unfinished = self.folders.data / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        own_folder(unfinished, self.account)
        major = binaries.POSTGRES_MAJOR
        self._run([self._program("initdb", major), "-D", unfinished, "-U", "postgres", "-A", "trust", "--encoding=UTF8",
                   "--no-locale", "--data-checksums", "--no-instructions"])  # fmt: skip
        (unfinished / "pg_hba.conf").write_text(ACCESS)
        self._execute(unfinished, major, ROLES + SEQUENCER_ROLE + self._passwords())
        unfinished.rename(self.folders.postgres)

    def _restore_passwords(self) -> None:
        if not all(read_secret(self.folders, role) for role in (OWNER, APP, SEQUENCER)):
            self._execute(self.folders.postgres, self._major(), SEQUENCER_ROLE + self._passwords())

    def _passwords(self) -> str:
        statements = []
        for role in (OWNER, APP, SEQUENCER):
            password = read_secret(self.folders, role) or make_secret(self.folders, role)
            statements.append(f"ALTER ROLE {role} PASSWORD '{password}';\n\n")
        return "".join(statements)

    def _execute(self, cluster: Path, major: int, statements: str) -> None:
        """By a single-user server: no network, no password. `-j` ends a statement at a semicolon and an empty line."""
        program = self._program("postgres", major)
        said = self._run([program, "--single", "-j", "-D", cluster, "postgres"], given=statements)
        if re.search(r"\b(ERROR|FATAL|PANIC):", said):
            raise UpFailed("PostgreSQL could not make its roles", detail=said)

    def _run(self, argv: list[str | Path], given: str = "") -> str:
        done = subprocess.run(
            argv,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
            cwd=self.folders.data if self.account is None else "/",
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
            start_new_session=True,
        )
        if done.returncode:
            raise UpFailed(f"{Path(argv[0]).name} failed in {self.folders.data}", detail=done.stderr.strip())
        return done.stderr

    def _program(self, name: str, major: int) -> Path:
        return binaries.postgres_programs(major, self.folders.lib, self.account) / name

    def _major(self) -> int:
        return int((self.folders.postgres / "PG_VERSION").read_text())

    def _url(self, role: str) -> str:
        return f"postgresql://{role}:{read_secret(self.folders, role)}@127.0.0.1:{self.port}/{DATABASE}"


def _environment() -> dict[str, str]:
    return {"LANG": "C.UTF-8", "LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}
