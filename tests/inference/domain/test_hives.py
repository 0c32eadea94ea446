from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from django.db import connection
from django.utils.timezone import now
from redis.exceptions import NoPermissionError

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from hive_agent import protocol
from inference.domain import hive_access
from inference.domain.errors import JoinRefused, NameTaken, RedisUnreachable
from inference.domain.hives import (
    create_join_token,
    hive_by_credential,
    join_hive,
    remove_hive,
    restore_hive_acls,
    sweep_join_tokens,
)
from inference.models import Hive, JoinToken
from tests.factories.inference import join_request, make_hive, make_model, make_token
from tests.factories.tenants import TESTER, unique
from tests.inference.hive_side import redis_of

LUA = "return redis.call('GET', KEYS[1])"
LUA_HIDDEN = "return redis.call('GET', '{}')"


def test_token_is_redeemed_once_by_any_number_at_once(committed_db: None, redis_url: str) -> None:
    token = make_token()
    start = threading.Barrier(20)

    def redeem(number: int) -> str:
        start.wait()
        try:
            return join_hive(join_request(token=token, name=unique("race"))).name
        except JoinRefused:
            return ""
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as threads:
        names = [name for name in threads.map(redeem, range(20)) if name]

    assert len(names) == 1
    users = redis.Redis.from_url(redis_url).execute_command("ACL", "USERS")
    winner = Hive.objects.get(name=names[0])
    made_now = [user for user in map(bytes.decode, users) if user.startswith("hive-") and _is_recent(user)]
    assert [user for user in made_now if user == winner.redis_username] == [winner.redis_username]
    assert len([user for user in made_now if winner.id.hex in user]) == 1


def test_one_name_joined_by_two_tokens_at_once_has_one_owner(committed_db: None, redis_url: str) -> None:
    name, tokens, start = unique("race"), [make_token() for _ in range(8)], threading.Barrier(8)

    def redeem(token: str) -> str:
        start.wait()
        try:
            return join_hive(join_request(token=token, name=name)).credential
        except NameTaken:
            return ""
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        credentials = [credential for credential in threads.map(redeem, tokens) if credential]

    assert Hive.objects.filter(name=name, removed_at=None).count() == 1
    assert len([one for one in credentials if hive_by_credential(one)]) == 1


@pytest.mark.usefixtures("db")
def test_expired_token_is_refused_and_swept(redis_url: str) -> None:
    row, token = create_join_token(actor=TESTER)
    JoinToken.objects.filter(id=row.id).update(expires_at=now() - timedelta(seconds=1))

    with pytest.raises(JoinRefused):
        join_hive(join_request(token=token))

    JoinToken.objects.filter(id=row.id).update(expires_at=now() - timedelta(hours=1))
    assert sweep_join_tokens() == 1
    assert not JoinToken.objects.filter(id=row.id).exists()


@pytest.mark.usefixtures("db")
def test_joining_again_keeps_the_hive_and_replaces_its_credentials(redis_url: str) -> None:
    model = make_model()
    hive, before = make_hive(
        token=make_token(region="EU", labels={"gpu_type": "H100"}, model_names=[model.name])
    )

    again, after = make_hive(name=hive.name.upper())

    assert again.id == hive.id
    assert (again.region, again.labels) == ("EU", {"gpu_type": "H100"})
    assert [worker.model for worker in again.workers.all()] == [model]
    assert hive_by_credential(before.credential) is None
    assert hive_by_credential(after.credential) == again
    with pytest.raises(redis.AuthenticationError):
        redis_of(before.redis, redis_url).get(f"{hive.prefix}state")
    assert redis_of(after.redis, redis_url).get(f"{hive.prefix}state") is None


@pytest.mark.usefixtures("db")
def test_name_of_a_removed_hive_joins_as_another_hive(redis_url: str) -> None:
    hive, before = make_hive()
    remove_hive(hive, actor=TESTER)

    again, _ = make_hive(name=hive.name)

    assert again.id != hive.id
    assert hive_by_credential(before.credential) is None


@pytest.mark.usefixtures("db")
def test_secrets_are_not_in_the_database(redis_url: str) -> None:
    token = make_token()
    hive, answer = make_hive(token=token)

    held = b"|".join(
        str(value).encode() if not isinstance(value, bytes | memoryview) else bytes(value)
        for row in [*Hive.objects.filter(id=hive.id).values_list(), *JoinToken.objects.values_list()]
        for value in row
    )

    for secret in (token, answer.credential, answer.redis.password):
        assert secret.encode() not in held


@pytest.mark.usefixtures("db")
def test_token_is_not_spent_while_redis_is_away(redis_url: str, settings: Any) -> None:
    token, whole = make_token(), settings.RBEE
    settings.RBEE = dataclasses.replace(whole, redis_url="redis://127.0.0.1:1/0")
    with pytest.raises(RedisUnreachable):
        join_hive(join_request(token=token))
    settings.RBEE = whole

    assert join_hive(join_request(token=token)).hive


ATTEMPTS: dict[str, Callable[[redis.Redis, str, str], object]] = {
    "GET": lambda r, own, other: r.get(f"{other}state"),
    "SET": lambda r, own, other: r.set(f"{other}state", "x"),
    "GETDEL": lambda r, own, other: r.getdel(f"{other}body:t:1"),
    "DEL": lambda r, own, other: r.delete(f"{other}tasks"),
    "LPUSH": lambda r, own, other: r.lpush(f"{other}tasks", "x"),
    "RPOP": lambda r, own, other: r.rpop(f"{other}tasks"),
    "HGETALL": lambda r, own, other: r.hgetall(f"{other}unacked"),
    "XADD": lambda r, own, other: r.xadd(f"{other}out:q", {"f": "x"}),
    "XREAD": lambda r, own, other: r.xread({f"{other}control": "0"}),
    "RENAME into": lambda r, own, other: r.rename(f"{own}a", f"{other}a"),
    "COPY out of": lambda r, own, other: r.copy(f"{other}state", f"{own}a"),
    "SUNIONSTORE": lambda r, own, other: r.sunionstore(f"{own}a", [f"{other}a"]),
    "EVAL": lambda r, own, other: r.eval(LUA, 1, f"{other}state"),
    "EVAL undeclared": lambda r, own, other: r.eval(LUA_HIDDEN.format(f"{other}state"), 0),
    "the queen's keys": lambda r, own, other: r.get("rbee:epoch"),
    "a longer name": lambda r, own, other: r.get(own.rstrip(":") + "0:state"),
    "PUBLISH": lambda r, own, other: r.publish("rbee:invalidate", "models"),
    "PUBLISH own": lambda r, own, other: r.publish(f"{own}x", "y"),
    "SUBSCRIBE": lambda r, own, other: r.execute_command("SUBSCRIBE", "rbee:invalidate"),
    "PSUBSCRIBE": lambda r, own, other: r.execute_command("PSUBSCRIBE", "*"),
    "PUBSUB": lambda r, own, other: r.execute_command("PUBSUB", "CHANNELS"),
    "KEYS": lambda r, own, other: r.keys("*"),
    "KEYS own": lambda r, own, other: r.keys(f"{own}*"),
    "SCAN": lambda r, own, other: r.scan(),
    "RANDOMKEY": lambda r, own, other: r.randomkey(),
    "DBSIZE": lambda r, own, other: r.dbsize(),
    "CONFIG GET": lambda r, own, other: r.config_get("requirepass"),
    "CONFIG SET": lambda r, own, other: r.config_set("dir", "/"),
    "ACL LIST": lambda r, own, other: r.acl_list(),
    "ACL SETUSER": lambda r, own, other: r.execute_command("ACL", "SETUSER", "me", "on", "~*", "+@all"),
    "FLUSHALL": lambda r, own, other: r.flushall(),
    "FLUSHDB": lambda r, own, other: r.flushdb(),
    "SWAPDB": lambda r, own, other: r.swapdb(0, 1),
    "DEBUG": lambda r, own, other: r.execute_command("DEBUG", "SLEEP", "0"),
    "SHUTDOWN": lambda r, own, other: r.execute_command("SHUTDOWN", "NOSAVE"),
    "MONITOR": lambda r, own, other: r.execute_command("MONITOR"),
    "CLIENT LIST": lambda r, own, other: r.client_list(),
    "SCRIPT FLUSH": lambda r, own, other: r.script_flush(),
    "SCRIPT KILL": lambda r, own, other: r.script_kill(),
    "INFO": lambda r, own, other: r.info(),
    "MEMORY": lambda r, own, other: r.memory_stats(),
    "MIGRATE": lambda r, own, other: r.execute_command("MIGRATE", "127.0.0.1", "1", f"{own}a", "0", "1"),
    "REPLICAOF": lambda r, own, other: r.execute_command("REPLICAOF", "127.0.0.1", "1"),
    "MODULE": lambda r, own, other: r.execute_command("MODULE", "LIST"),
    "SAVE": lambda r, own, other: r.save(),
    "SORT": lambda r, own, other: r.sort(f"{own}a", get=f"{other}*"),
}


@pytest.mark.usefixtures("db")
def test_stolen_credentials_reach_nothing_outside_their_prefix(redis_url: str) -> None:
    hive, answer = make_hive()
    other, _ = make_hive()
    queen = redis.Redis.from_url(redis_url)
    queen.set(f"{other.prefix}state", "secret")
    queen.set(f"{hive.prefix}a", "mine")
    thief = redis_of(answer.redis, redis_url)
    before = _everything(queen)

    granted = []
    for name, attempt in ATTEMPTS.items():
        try:
            attempt(thief, hive.prefix, other.prefix)
        except NoPermissionError:
            continue
        except redis.ResponseError as error:
            if "can't access" in str(error) or "ACL failure" in str(error):  # from inside a script
                continue
            raise AssertionError(f"{name}: {error}") from error
        granted.append(name)

    assert granted == []
    assert _everything(queen) == before


@pytest.mark.usefixtures("db")
def test_hive_may_do_its_work_under_its_prefix(redis_url: str) -> None:
    hive, answer = make_hive()
    worker, own = redis_of(answer.redis, redis_url), hive.prefix

    worker.set(f"{own}state", "beat", ex=30)
    worker.xadd(f"{own}out:q", {"f": "x"})
    worker.lpush(f"{own}tasks", "message")
    worker.set(f"{own}body:t:1", "body")

    assert worker.execute_command("GETDEL", f"{own}body:t:1") == b"body"
    assert worker.brpop([f"{own}tasks"], timeout=1) == (f"{own}tasks".encode(), b"message")
    assert worker.eval(LUA, 1, f"{own}state") == b"beat"
    assert not worker.xread({f"{own}control": "0"})
    with worker.lock(f"{own}unacked_mutex", timeout=5):  # as Celery's transport takes it
        pass


@pytest.mark.usefixtures("db")
def test_stock_celery_worker_runs_within_the_rules(redis_url: str, tmp_path: Path) -> None:
    hive, answer = make_hive()
    _, _, server = redis_url.rpartition("@")
    own_url = f"redis://{answer.redis.username}:{answer.redis.password}@{server}"
    (tmp_path / "hive_app.py").write_text(
        "import os\n"
        "from celery import Celery\n"
        "app = Celery('t', broker=os.environ['T_URL'])\n"
        "app.conf.update(broker_transport_options={'global_keyprefix': os.environ['T_PREFIX']},\n"
        "    worker_enable_remote_control=False, task_ignore_result=True, task_default_queue='tasks')\n"
        "@app.task(name='hive.run')\n"
        "def run(text):\n"
        "    with open('ran', 'w') as file:\n"
        "        file.write(text)\n"
    )
    command = [sys.executable, "-m", "celery", "-A", "hive_app", "worker", "-P", "threads", "--concurrency", "2",
               "--without-gossip", "--without-mingle", "--without-heartbeat"]  # fmt: skip
    env = {"T_URL": own_url, "T_PREFIX": hive.prefix, "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
    try:
        queen = Celery("queen", broker=redis_url)
        queen.conf.update(
            broker_transport_options={"global_keyprefix": hive.prefix}, task_default_queue="tasks"
        )
        queen.send_task("hive.run", ["done"], ignore_result=True)
        queen.close()
        deadline = time.monotonic() + 40
        while not (tmp_path / "ran").exists() and time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        assert (tmp_path / "ran").read_text() == "done"
    finally:
        process.terminate()
        process.wait(20)
        log.close()
    assert "NOPERM" not in (tmp_path / "log").read_text()


@pytest.mark.usefixtures("db")
def test_users_are_restored_after_redis_lost_them_and_left_over_ones_go(redis_url: str) -> None:
    hive, answer = make_hive()
    removed, _ = make_hive()
    queen = redis.Redis.from_url(redis_url)
    open_connection = redis_of(answer.redis, redis_url)
    open_connection.ping()
    queen.execute_command("ACL", "DELUSER", hive.redis_username)
    stale = f"hive-{removed.id.hex}-{int(time.time()) - 120:x}-aaaaaaaa"
    joining = hive_access.make_username(removed.id)
    for user in (stale, joining):
        queen.execute_command("ACL", "SETUSER", user, "on", ">x")

    count = restore_hive_acls()
    is_open = redis_of(answer.redis, redis_url)
    is_open.set(f"{hive.prefix}state", "x")
    restore_hive_acls()

    assert count == Hive.objects.filter(removed_at=None).count()
    assert is_open.get(f"{hive.prefix}state") == b"x"
    users = {user.decode() for user in queen.execute_command("ACL", "USERS")}
    assert stale not in users
    assert {hive.redis_username, joining} <= users
    queen.execute_command("ACL", "DELUSER", joining)


@pytest.mark.usefixtures("db")
def test_hive_whose_password_cannot_be_opened_does_not_keep_the_others_out(redis_url: str) -> None:
    broken, _ = make_hive()
    other, answer = make_hive()
    Hive.objects.filter(id=broken.id).update(redis_password_sealed=bytes(other.redis_password_sealed))
    redis.Redis.from_url(redis_url).execute_command("ACL", "DELUSER", other.redis_username)

    restore_hive_acls()

    assert redis_of(answer.redis, redis_url).ping()


@pytest.mark.usefixtures("db")
def test_change_and_its_audit_entry_stand_or_fall_together(redis_url: str) -> None:
    hive, _ = make_hive()

    def both_and_fail() -> None:
        with colony_tx("tests"):
            create_join_token(actor=TESTER)
            remove_hive(hive, actor=TESTER)
            raise RuntimeError("forced")

    before = _state()
    with pytest.raises(RuntimeError, match="forced"):
        both_and_fail()

    assert _state() == before

    remove_hive(hive, actor=TESTER)
    assert _state() == (before[0] | {("hive.removed", f"hive:{hive.id}")}, before[1], before[2] - {hive.id})


def test_placements_are_told_to_the_hive_after_the_commit(committed_db: None, redis_url: str) -> None:
    hive, _ = make_hive()
    queen = redis.Redis.from_url(redis_url)
    stream = f"{hive.prefix}control"

    make_model(hives=[hive.name])

    (_, fields) = queen.xrange(stream)[-1]
    control = protocol.decode_control(fields[protocol.CONTROL_FIELD])
    assert control.kind == protocol.ControlKind.PLACEMENTS
    remove_hive(hive, actor=TESTER)


def _state() -> tuple[set[tuple[str, str]], set[object], set[object]]:
    """Audit entries, join tokens and hives."""
    with colony_tx("tests"):
        entries = set(AuditEntry.objects.filter(event__startswith="hive.").values_list("event", "object_ref"))
    tokens = set(JoinToken.objects.values_list("id", flat=True))
    return entries, tokens, set(Hive.objects.filter(removed_at=None).values_list("id", flat=True))


def _everything(queen: redis.Redis) -> dict[bytes, bytes | None]:
    return {key: queen.dump(key) for key in queen.keys("*")}


def _is_recent(user: str) -> bool:
    return int(user.split("-")[2], 16) > time.time() - 30
