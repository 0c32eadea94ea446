"""rbee in business mode, with every part of a task's way switched on and an echo engine on a hive of its own.

On the gateway's side are the queen, Redis and PostgreSQL. The hive with its engine stands where the others have their
upstream, and is left out as that is.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import psycopg
import redis

from bench.entrant import ROOT, Entrant, tree, wait
from bench.upstream import PACE_S, SLOW_PACE_S, STREAM_TOKENS, WHOLE_TOKENS
from tests.system import JoinedHive, System

TENANT = "bench"
GATEWAY = ("uvicorn", "redis-server", "valkey-server", "postgres")
MODELS = {
    "bench-whole": [f"tokens={WHOLE_TOKENS}"],
    "bench-stream": [f"tokens={STREAM_TOKENS}", f"delay_ms={PACE_S * 1000:g}"],
    "bench-slow": [f"tokens={STREAM_TOKENS}", f"delay_ms={SLOW_PACE_S * 1000:g}"],
}
# Both functions are in force, so that every request is admitted and routed by Rhai.
POLICY = """\
fn should_admit(task, customer) {
    if customer.tokens_used_today > customer.daily_limit {
        return reject("Quota exceeded");
    }
    return admit();
}

fn route_task(task, workers) {
    return workers.filter(|w| w.region == "EU").least_loaded();
}
"""
# All four are counted for every request, and none is ever reached.
LIMITS = """
    UPDATE tenants_tenant SET requests_per_minute = 100000000, tokens_per_minute = 2000000000,
           tokens_per_day = 1000000000000, concurrent_tasks = 100000 WHERE slug = %s
"""
BOOKS = """
    SELECT (SELECT count(*) FROM billing_usageevent WHERE outcome = 'completed'),
           (SELECT coalesce(sum((usage->>'completion_tokens')::bigint), 0)::bigint FROM billing_usageevent
             WHERE outcome = 'completed'),
           (SELECT count(*) FROM billing_usageevent),
           (SELECT count(*) FROM billing_ledgertransfer WHERE kind = 'task'),
           (SELECT coalesce(sum(amount_micros), 0)::bigint FROM billing_usageevent)
"""


def rbee(folder: Path) -> Entrant:
    folder.chmod(0o755)  # PostgreSQL may run as another user
    system = System(folder / "data", business=True, arguments=["--no-hive"])
    system.scheduler_file.parent.mkdir(parents=True)
    system.scheduler_file.write_text(POLICY)
    hive: JoinedHive | None = None

    def close() -> None:
        if hive is not None:
            hive.stop()
        if system.process is not None and system.process.poll() is None:
            try:
                system.stop()
            except subprocess.TimeoutExpired:
                system.kill()

    try:
        system.start()
        hive = JoinedHive(system, "bench", region="EU")
        wait(lambda: any(row["name"] == "bench" for row in hives(system)), "the hive to join", log=hive.log)
        for model, options in MODELS.items():
            flags = [word for option in options for word in ("--option", option)]
            system.run("model", "add", "echo:", "--name", model, "--engine", "echo", "--hive", "bench",
                       "--input-price", "1", "--output-price", "2", *flags)  # fmt: skip
        system.run("tenant", "create", TENANT, "--plan", "enterprise")
        with psycopg.connect(database_url(system)) as connection:
            connection.execute("SET ROLE rbee_colony")
            connection.execute(LIMITS, [TENANT])
        made = system.run_json("key", "create", "--tenant", TENANT, "--name", "bench")
        assert isinstance(made, dict)
        key = made["key"]
        version, notes = versions(system)
    except BaseException:
        close()
        raise
    agent = hive.process.pid
    return Entrant(
        "rbee",
        "key, four limits, Rhai admission and routing, Celery dispatch, signed receipt, usage event, ledger, audit",
        version,
        system.port,
        {"authorization": f"Bearer {key}"},
        processes=lambda: [child for child in system.children() if is_gateway(child)],
        behind=lambda: tree(agent),
        close=close,
        whole_model="bench-whole",
        stream_model="bench-stream",
        slow={"model": "bench-slow"},
        books=lambda: books(system),
        notes=notes,
    )


def is_gateway(process: psutil.Process) -> bool:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return any(word in line for word in GATEWAY)


def books(system: System) -> dict[str, int]:
    """What was booked, in the words of the table."""
    names = ("completed", "tokens", "usage_events", "ledger_transfers", "amount_micros")
    with psycopg.connect(database_url(system)) as connection:
        connection.execute("SET ROLE rbee_colony")
        row = connection.execute(BOOKS).fetchone()
    assert row is not None
    return dict(zip(names, row, strict=True))


def hives(system: System) -> list[dict[str, object]]:
    rows = system.run_json("hive", "list")
    assert isinstance(rows, list)
    return rows


def database_url(system: System) -> str:
    return environment(system)["RBEE_DATABASE_URL"]


def environment(system: System) -> dict[str, str]:
    return system.children("uvicorn")[0].environ()


def versions(system: System) -> tuple[str, list[str]]:
    commit = git("rev-parse", "--short", "HEAD") or "no commit"
    changed = [line[3:] for line in git("status", "--porcelain").splitlines()]
    with psycopg.connect(database_url(system)) as connection:
        major, minor = divmod(connection.info.server_version, 10000)
        postgres = f"PostgreSQL {major}.{minor}"
    with redis.Redis.from_url(environment(system)["RBEE_REDIS_URL"]) as client:
        server = f"Redis {client.info('server')['redis_version']}"
    served = [
        name
        for name in changed
        if name.split("/")[0] in {"inference", "hive_agent", "billing", "tenants", "gdpr"}
    ]
    notes = [f"changed since that commit: {', '.join(served)}"] if served else []
    return f"{commit}, {postgres}, {server}", notes


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
