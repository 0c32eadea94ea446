"""The order in which a colony starts on one machine, its life, and its end.

PostgreSQL and Redis start side by side; then, only when something can have changed, migrations and first rows; then
the queen and the hive side by side, and behind them Celery and who numbers audit entries. It is up when the queen is ready and the local hive's
worker is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rbee_cli.errors import UpFailed
from rbee_cli.up import audit_key, environment, local_hive, operator_key, ports, preparation, services
from rbee_cli.up.accounts import service_account
from rbee_cli.up.folders import make_folders, make_secret, read_secret
from rbee_cli.up.interrupts import Interrupted, Interrupts
from rbee_cli.up.keeper import Keeper, describe_exit
from rbee_cli.up.lock import DataLock
from rbee_cli.up.options import UpOptions
from rbee_cli.up.orphans import end_orphans
from rbee_cli.up.postgres import Postgres
from rbee_cli.up.probe import QueenProbe
from rbee_cli.up.process import Process
from rbee_cli.up.redis import Redis
from rbee_cli.up.screen import Screen
from rbee_cli.up.stop import stop_all
from rbee_cli.up.welcome import welcome

QUEEN_PATIENCE_S = 60
WORKER_PATIENCE_S = 120
TEND_EVERY_S = 0.1
ROOT_SECRET = "root"  # noqa: S105 -- the name of its file
KEYS = "keys"  # the file of those that wrap the keys of people's details; made by `bootstrap`


def run_up(options: UpOptions, screen: Screen) -> None:
    """Returns when everything has stopped. Raises CliError when a part cannot start; what had started is stopped."""
    folders = make_folders(options.data_dir, service_account())
    lock = DataLock(folders.run / "lock")
    lock.acquire(options.local_url)
    try:
        with Interrupts() as interrupts:
            Colony(options, screen).live(interrupts)
    finally:
        lock.release()


class Colony:
    def __init__(self, options: UpOptions, screen: Screen) -> None:
        self.options = options
        self.screen = screen
        self.folders = make_folders(options.data_dir, service_account())
        self.keeper = Keeper(self.folders.run / "processes.json", screen.trouble)
        self.redis_url = environment.setting("RBEE_REDIS_URL")
        self.database_url = environment.setting("RBEE_DATABASE_URL")
        self.owner_url = environment.setting("RBEE_DATABASE_OWNER_URL") or self.database_url
        self.sequencer_url = environment.setting("RBEE_AUDIT_DATABASE_URL")
        self.has_own_database = not self.database_url
        self.probe = QueenProbe(options)
        self.new_operator_key: str | None = None

    def live(self, interrupts: Interrupts) -> None:
        began = time.monotonic()
        try:
            with self.screen:
                self._start()
            welcome(self.screen, self.options, self.folders, time.monotonic() - began, self.new_operator_key)
            while True:
                self.keeper.tend()
                time.sleep(TEND_EVERY_S)
        except Interrupted:
            pass
        finally:
            interrupts.count = max(interrupts.count, 1)  # from here on a signal hurries, and raises nothing
            self._stop(interrupts)

    def _start(self) -> None:
        if left := end_orphans(self.folders.run / "processes.json"):
            self.screen.say(f"  ended what a killed run had left: {', '.join(left)}", "yellow")
        self._check_port()
        self._start_databases()
        join_token = self._prepare()
        queen = self._start_queen()
        is_joined = local_hive.is_joined(self.folders)
        if self.options.hive and is_joined:
            self._start_hive()
        self._wait("queen", queen, self.probe.is_ready, QUEEN_PATIENCE_S, "did not become ready")
        self.screen.done("queen", self.options.local_url)
        self._start_celery()
        self._start_sequencer()
        if self.options.hive:
            self._join_hive(is_joined, join_token)
            self._wait_for_worker()

    def _check_port(self) -> None:
        options = self.options
        if not ports.is_free(options.port, options.host):
            raise UpFailed(
                f"port {options.port} is held by {ports.holder_of(options.port)}: "
                f"stop that, or take another port by --port {options.port + 10}"
            )

    def _start_databases(self) -> None:
        """Both are started before either is waited for."""
        redis = Redis(self.options.data_dir, host=self.options.host, preferred_port=self.options.port + 1)
        postgres = Postgres(self.options.data_dir)
        if not self.redis_url:
            self.screen.begin("Redis")
            redis.spawn()
            self._keep(redis.process, redis.respawn)
        if not self.database_url:
            self.screen.begin("PostgreSQL")
            self._make_root_secret(is_new=postgres.is_new)
            postgres.prepare()
            postgres.spawn()
            self._keep(postgres.process, postgres.respawn)
        else:
            self._make_root_secret(is_new=True)
        if not self.redis_url:
            redis.wait_ready()
            self.redis_url = redis.url
            self.screen.done("Redis", f"127.0.0.1:{redis.port}")
        if not self.database_url:
            postgres.wait_ready()
            self.database_url, self.owner_url = postgres.app_url, postgres.owner_url
            self.sequencer_url = postgres.sequencer_url
            self.screen.done("PostgreSQL", f"127.0.0.1:{postgres.port}")

    def _make_root_secret(self, *, is_new: bool) -> None:
        if environment.setting("RBEE_SECRET_KEY") or read_secret(self.folders, ROOT_SECRET):
            return
        path = self.folders.secrets / ROOT_SECRET
        if not is_new:
            raise UpFailed(
                f"{path} is missing, and no key in the database can be checked without it: put it back from a backup"
            )
        make_secret(self.folders, ROOT_SECRET)

    def _prepare(self) -> str:
        """Migrations and first rows. Returns a join token for the local hive, or nothing when it needs none."""
        needs_token = self.options.hive and not local_hive.is_joined(self.folders)
        needs_key = self.options.business and not operator_key.path(self.folders).exists()
        is_fresh = self.has_own_database and preparation.is_prepared(self.folders, self.options)
        if is_fresh and not needs_token and not needs_key:
            self._read_operator_key()
            return ""
        self.screen.begin("tables")
        preparation.migrate(
            self._queen_environment() | {"RBEE_DATABASE_OWNER_URL": self.owner_url}, self.folders
        )
        answer = preparation.bootstrap(
            self._queen_environment(),
            self.folders,
            local_hive=needs_token,
            operator_key=self.options.business,
        )
        self.new_operator_key = answer.get("operator_key")
        self._read_operator_key()
        if self.has_own_database:
            preparation.remember_prepared(self.folders, self.options)
        self.screen.done("tables", "migrated, first rows written")
        return str(answer.get("join_token") or "")

    def _read_operator_key(self) -> None:
        if self.options.business:
            self.probe.key = operator_key.read(self.folders)

    def _start_queen(self) -> Process:
        self._check_port()  # once more: migrations took their time
        self.screen.begin("queen")
        process = services.queen(self.options, self._queen_environment(), self.folders)
        process.start()
        self._keep(process)
        return process

    def _start_celery(self) -> None:
        """After the queen, so that it gets the processor first; nobody waits for these."""
        self.screen.begin("Celery worker and beat")
        for make in (services.celery_worker, services.celery_beat):
            process = make(self._queen_environment(), self.folders)
            process.start()
            self._keep(process)
        self.screen.done("Celery worker and beat", "in the background")

    def _start_sequencer(self) -> None:
        if not self.sequencer_url:
            self.screen.say(
                "  the audit log is not signed: RBEE_AUDIT_DATABASE_URL names no role that numbers it",
                "yellow",
            )
            return
        key_file = audit_key.ensure(self.folders, self.options)
        process = services.sequencer(
            environment.sequencer_environment(
                self._queen_environment(),
                self.options,
                database_url=self.sequencer_url,
                key_file=key_file,
            ),
            self.folders,
        )
        process.start()
        self._keep(process)

    def _start_hive(self) -> None:
        self.screen.begin("hive")
        process = services.hive(
            environment.hive_environment(local_hive.trust_file(self.options, self.folders)), self.folders
        )
        process.start()
        self._keep(process)

    def _join_hive(self, is_joined: bool, join_token: str) -> None:
        """Unless it has joined. One that the operator has removed joins again; `--no-hive` is how to do without."""
        if is_joined and local_hive.is_known(self.probe):
            return
        if is_joined:
            if process := self.keeper.process("hive"):
                process.stop(1)
            answer = preparation.bootstrap(
                self._queen_environment(), self.folders, local_hive=True, operator_key=False
            )
            join_token = str(answer.get("join_token") or "")
        local_hive.join(self.options, self.folders, join_token)
        self._start_hive()

    def _wait_for_worker(self) -> None:
        process = self.keeper.process("hive")
        assert process is not None
        self._wait(
            "hive",
            process,
            lambda: local_hive.is_serving(self.probe),
            WORKER_PATIENCE_S,
            "has no ready worker",
        )
        self.screen.done("hive", f"{local_hive.NAME}: {local_hive.MODEL}")

    def _wait(
        self, name: str, process: Process, is_ready: Callable[[], bool], patience_s: float, complaint: str
    ) -> None:
        """Until it is ready. Any part that ends meanwhile ends the start: what is broken now stays so. Except the
        hive, which ends when it finds itself removed."""
        deadline = time.monotonic() + patience_s
        while not is_ready():
            for ended in self.keeper.ended():
                if ended.name == "hive" and name != "hive":
                    continue
                raise UpFailed(
                    f"{ended.name} {describe_exit(ended.poll())} while starting; its log is {ended.log}",
                    detail=ended.last_lines(),
                )
            if time.monotonic() > deadline:
                raise UpFailed(
                    f"{name} {complaint} after {patience_s:g} s: {self.probe.problem or 'it did not say why'}; "
                    f"its log is {process.log}",
                    detail=process.last_lines(),
                )
            time.sleep(0.05)

    def _keep(self, process: Process | None, restart: Callable[[], Process] | None = None) -> None:
        assert process is not None
        self.keeper.add(process, restart)

    def _queen_environment(self) -> dict[str, str]:
        return environment.queen_environment(
            self.options,
            database_url=self.database_url,
            redis_url=self.redis_url,
            secret_key_file=self.folders.secrets / ROOT_SECRET,
            key_file=self.folders.secrets / KEYS,
        )

    def _stop(self, interrupts: Interrupts) -> None:
        if not self.keeper.names():
            return
        began = time.monotonic()
        self.screen.say("stopping …")
        killed = stop_all(self.keeper, interrupts.is_insisting)
        self.keeper.forget()
        if killed:
            self.screen.say(f"  did not stop in time and were killed: {', '.join(killed)}", "yellow")
        self.screen.say(f"stopped in {time.monotonic() - began:.1f} s")
