import os
import signal
from pathlib import Path

import psutil
import psycopg
import pytest

from rbee_cli.errors import UpFailed
from rbee_cli.up.postgres import Postgres


def test_roles_are_bound_by_row_level_security(with_cluster: Path) -> None:
    server = Postgres(with_cluster)
    server.start()
    try:
        with psycopg.connect(server.app_url) as connection:
            found = connection.execute(
                "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles "
                "WHERE rolname LIKE 'rbee%' ORDER BY rolname"
            ).fetchall()
            checksums = connection.execute("SHOW data_checksums").fetchone()
    finally:
        server.stop()
    assert found == [
        ("rbee_app", False, False, False, False),
        ("rbee_owner", False, False, True, True),
        ("rbee_sequencer", False, False, False, False),
    ]
    assert checksums == ("on",)


def test_no_password_and_no_superuser_gets_in(with_cluster: Path) -> None:
    server = Postgres(with_cluster)
    server.start()
    try:
        for user, password in (("rbee_app", "wrong"), ("postgres", "wrong"), ("rbee_owner", "")):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(f"postgresql://{user}:{password}@127.0.0.1:{server.port}/rbee")
    finally:
        server.stop()


def test_rows_and_port_survive_a_kill(with_cluster: Path) -> None:
    server = Postgres(with_cluster)
    server.start()
    port = server.port
    with psycopg.connect(server.owner_url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    assert server.process
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(5)

    again = Postgres(with_cluster)
    again.start()
    try:
        with psycopg.connect(again.owner_url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]
        assert again.port == port
    finally:
        again.stop()


def test_lock_file_naming_an_unrelated_process_is_removed(with_cluster: Path) -> None:
    server = Postgres(with_cluster)
    server.start()
    lock = server.folders.postgres / "postmaster.pid"
    lines = lock.read_text().split("\n")
    server.stop()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]))

    again = Postgres(with_cluster)
    again.start()
    again.stop()
    assert psutil.pid_exists(os.getpid())
    assert not lock.exists()


def test_lost_passwords_are_made_again(with_cluster: Path) -> None:
    server = Postgres(with_cluster)
    server.start()
    server.stop()
    (server.folders.secrets / "rbee_app").unlink()

    again = Postgres(with_cluster)
    again.start()
    try:
        with psycopg.connect(again.app_url) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("rbee_app",)
    finally:
        again.stop()


def test_half_made_cluster_is_made_again(data_dir: Path) -> None:
    (data_dir / "postgres.new").mkdir()
    (data_dir / "postgres.new" / "PG_VERSION").write_text("18\n")
    server = Postgres(data_dir)
    server.start()
    server.stop()
    assert not (data_dir / "postgres.new").exists()


def test_server_that_cannot_start_shows_its_log(with_cluster: Path) -> None:
    server = Postgres(with_cluster, settings={"shared_buffers": "nonsense"})
    with pytest.raises(UpFailed, match=r"logs/postgres\.log") as caught:
        server.start()
    assert 'invalid value for parameter "shared_buffers"' in caught.value.detail


def test_secrets_are_readable_by_their_owner_only(data_dir: Path) -> None:
    server = Postgres(data_dir)
    server.prepare()
    assert {path.stat().st_mode & 0o777 for path in server.folders.secrets.iterdir()} == {0o600}
    assert server.folders.secrets.stat().st_mode & 0o777 == 0o700
    assert server.folders.postgres.stat().st_mode & 0o777 == 0o700


def test_cluster_of_before_gets_the_role_that_numbers(with_cluster: Path) -> None:
    server = Postgres(with_cluster)
    server.start()
    server.stop()
    server._execute(server.folders.postgres, server._major(), "DROP ROLE rbee_sequencer;\n\n")
    access = server.folders.postgres / "pg_hba.conf"
    access.write_text("host all rbee_owner,rbee_app 127.0.0.1/32 scram-sha-256\n")
    (server.folders.secrets / "rbee_sequencer").unlink(missing_ok=True)

    again = Postgres(with_cluster)
    again.start()
    try:
        with psycopg.connect(again.sequencer_url) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("rbee_sequencer",)
    finally:
        again.stop()
