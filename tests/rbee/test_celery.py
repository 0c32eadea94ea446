"""The colony's own chores, by a real worker over a real Redis."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import redis
from django.conf import settings

from gdpr.domain.partitions import add_months
from rbee_cli.up.postgres import Postgres

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environ(committed_db: None, postgres: Postgres, redis_url: str) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("RBEE_")}
    return others | {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
        "RBEE_DATABASE_URL": postgres.app_url,
        "RBEE_REDIS_URL": redis_url,
        "RBEE_SECRET_KEY": settings.RBEE.secret_key.hex(),
    }


@pytest.fixture
def worker(environ: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "celery", "-A", "rbee.celery", "worker", "--pool", "threads", "--loglevel", "WARNING",
               "--without-gossip", "--without-mingle", "--without-heartbeat"]  # fmt: skip
    process = subprocess.Popen(command, env=environ, cwd=ROOT)
    yield
    process.terminate()
    process.wait(20)


def test_worker_makes_partitions_when_told_by_name(
    worker: None, environ: dict[str, str], postgres: Postgres, redis_url: str
) -> None:
    partition = "gdpr_auditentry" + add_months(datetime.now(UTC).date().replace(day=1), 2).strftime("_%Y_%m")
    with psycopg.connect(postgres.owner_url, autocommit=True) as owner:
        owner.execute(f"DROP TABLE {partition}")

        send(environ, "gdpr.make_partitions")

        deadline = time.monotonic() + 30
        while owner.execute("SELECT to_regclass(%s)", [partition]).fetchone() == (None,):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert [key for key in client.keys("*") if not key.startswith("rbee:celery:")] == []


def test_every_chore_of_beat_is_a_task_that_the_worker_has(environ: dict[str, str]) -> None:
    code = (
        "from rbee.celery import app; app.loader.import_default_modules();"
        "print(sorted({entry['task'] for entry in app.conf.beat_schedule.values()} - set(app.tasks)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def send(environ: dict[str, str], task: str) -> None:
    code = f"from rbee.celery import app; app.send_task({task!r})"
    subprocess.run([sys.executable, "-c", code], env=environ, cwd=ROOT, check=True)
