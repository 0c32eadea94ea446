"""The processes of a colony on one machine, besides PostgreSQL and Redis: what each is started with."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from rbee_cli.up.folders import Folders
from rbee_cli.up.options import UpOptions
from rbee_cli.up.process import Process

GRACE_S = 1  # how long a queen that stops waits for answers in flight: clients retry, settlement is exact


def queen(options: UpOptions, environment: Mapping[str, str], folders: Folders) -> Process:
    """Forwarding headers are left alone: rbee decides itself whom it believes about an address."""
    arguments = ["--host", options.host, "--port", str(options.port), "--no-access-log", "--log-level", "info",
                 "--no-proxy-headers", "--no-server-header", "--ws", "none", "--lifespan", "on",
                 "--timeout-keep-alive", "75", "--timeout-graceful-shutdown", str(GRACE_S)]  # fmt: skip
    if options.tls_cert and options.tls_key:
        arguments += ["--ssl-certfile", str(options.tls_cert), "--ssl-keyfile", str(options.tls_key)]
    return _python("queen", ["uvicorn", "rbee.asgi:application", *arguments], environment, folders)


def celery_worker(environment: Mapping[str, str], folders: Folders) -> Process:
    """The queen's chores. Threads: they wait for the database, and a pool of processes costs 80 MB each."""
    arguments = ["worker", "--loglevel", "INFO", "--pool", "threads", "--concurrency", "2", "--hostname", "control@%h",
                 "--without-gossip", "--without-mingle", "--without-heartbeat"]  # fmt: skip
    process = _python("celery-worker", ["celery", "-A", "rbee.celery", *arguments], environment, folders)
    process.stop_signal = signal.SIGQUIT  # does not wait for a chore: chores may run again
    return process


def celery_beat(environment: Mapping[str, str], folders: Folders) -> Process:
    arguments = ["beat", "--loglevel", "INFO", "--pidfile="]
    return _python("celery-beat", ["celery", "-A", "rbee.celery", *arguments], environment, folders)


def sequencer(environment: Mapping[str, str], folders: Folders) -> Process:
    """Gives audit entries their places, and signs checkpoints."""
    return _python("audit-sequencer", ["rbee.sequencer"], environment, folders)


def hive(environment: Mapping[str, str], folders: Folders) -> Process:
    return _python("hive", ["hive_agent", "run", "--dir", str(folders.hive)], environment, folders)


def _python(
    name: str, module_and_arguments: list[str], environment: Mapping[str, str], folders: Folders
) -> Process:
    return Process(
        name,
        [sys.executable, "-m", *module_and_arguments],
        log=folders.log(name),
        env=environment,
        cwd=_cwd(folders),
        stop_signal=signal.SIGTERM,
    )


def _cwd(folders: Folders) -> Path:
    return folders.run
