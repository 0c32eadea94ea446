"""What a connection reaches in one table of another tenant, by SQL of any kind. It is the checker of row-level security: it
goes by the rows alone, and trusts nothing that Django or a policy says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import connection as django_connection
from psycopg import sql

from gdpr.scope import colony_tx
from tenants.models import Tenant
from tests.acceptance.tenants.isolation.world import World, tenant_models

PEEK: Final = """
    CREATE FUNCTION pg_temp.peek(row_text text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
    AS $$ BEGIN RAISE NOTICE '%', row_text; RETURN true; END $$
"""


@dataclass(frozen=True)
class Table:
    name: str
    column: str  # of the tenant
    rows: tuple[Any, ...]  # of the victim, as JSON

    @classmethod
    def all_of(cls, victim: World) -> list[Table]:
        return [cls(model._meta.db_table, column_of(model), _rows(model._meta.db_table, column_of(model), victim))
                for model in tenant_models()]  # fmt: skip


def column_of(model: type) -> str:
    return "id" if model is Tenant else "tenant_id"


def reached(connection: psycopg.Connection[Any], table: Table, victim: World, own: UUID | None) -> list[str]:
    """How rows of the victim were read, changed, taken away or added; empty when they were not."""
    found = []
    for how, attempt in ATTEMPTS.items():
        with taken_back(connection):
            try:
                if attempt(connection, table, victim, own):
                    found.append(how)
            except psycopg.errors.InsufficientPrivilege:
                pass  # by row-level security, a trigger or a missing grant
            except psycopg.errors.IntegrityError:
                found.append(how)  # what is in the way of a row that cannot be reached?
    return found


def read(connection: psycopg.Connection[Any], table: Table, victim: World, own: UUID | None) -> bool:
    return bool(count(connection, table, victim.tenant.id))


def read_any(connection: psycopg.Connection[Any], table: Table, victim: World, own: UUID | None) -> bool:
    query = _sql("SELECT count(*) FROM {table} WHERE {column} IS DISTINCT FROM %s", table)
    return bool(_one(connection, query, own))


def read_by_function(
    connection: psycopg.Connection[Any], table: Table, victim: World, own: UUID | None
) -> bool:
    """One that is cheaper than the policy, and tells what it is given."""
    told: list[str] = []

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        told.append(notice.message_primary or "")

    connection.add_notice_handler(listen)
    try:
        connection.execute(PEEK)
        connection.execute(_sql("SELECT count(*) FROM {table} t WHERE pg_temp.peek(t::text)", table))
    finally:
        connection.remove_notice_handler(listen)
    return any(str(victim.tenant.id) in text or victim.mark in text for text in told)


def copy_out(connection: psycopg.Connection[Any], table: Table, victim: World, own: UUID | None) -> bool:
    with connection.cursor().copy(_sql("COPY (SELECT * FROM {table}) TO STDOUT", table)) as copy:
        text = b"".join(bytes(block) for block in copy)
    return str(victim.tenant.id).encode() in text


def update(connection: psycopg.Connection[Any], table: Table, victim: World, own: UUID | None) -> bool:
    query = _sql("UPDATE {table} SET {column} = {column} WHERE {column} = %s", table)
    return connection.execute(query, [victim.tenant.id]).rowcount > 0


def take(connection: psycopg.Connection[Any], table: Table, victim: World, own: UUID | None) -> bool:
    if own is None or table.column == "id":
        return False
    query = _sql("UPDATE {table} SET {column} = %s WHERE {column} = %s", table)
    return connection.execute(query, [own, victim.tenant.id]).rowcount > 0


def give(connection: psycopg.Connection[Any], table: Table, victim: World, own: UUID | None) -> bool:
    """Of one's own rows to the victim."""
    if own is None or table.column == "id":
        return False
    query = _sql("UPDATE {table} SET {column} = %s WHERE {column} = %s", table)
    return connection.execute(query, [victim.tenant.id, own]).rowcount > 0


def delete(connection: psycopg.Connection[Any], table: Table, victim: World, own: UUID | None) -> bool:
    query = _sql("DELETE FROM {table} WHERE {column} = %s", table)
    return connection.execute(query, [victim.tenant.id]).rowcount > 0


def insert(connection: psycopg.Connection[Any], table: Table, victim: World, own: UUID | None) -> bool:
    """Whether it is there already is asked after the policy, and so not told."""
    query = _sql("INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, %s::jsonb)", table)
    return connection.execute(query, [table.rows[0]]).rowcount > 0


ATTEMPTS: Final = {
    "read": read, "read any": read_any, "read by a function": read_by_function, "copied": copy_out, "changed": update,
    "taken": take, "given": give, "deleted": delete, "added": insert,
}  # fmt: skip


def count(connection: psycopg.Connection[Any], table: Table, tenant_id: UUID) -> int:
    return _one(connection, _sql("SELECT count(*) FROM {table} WHERE {column} = %s", table), tenant_id)


@contextmanager
def taken_back(connection: psycopg.Connection[Any]) -> Iterator[None]:
    with connection.transaction(force_rollback=True):
        yield


def be(connection: psycopg.Connection[Any], tenant: str) -> None:
    connection.execute("SELECT set_config('app.tenant', %s, true)", [tenant])


def _one(connection: psycopg.Connection[Any], query: sql.Composed, *parameters: Any) -> int:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return int(row[0])


def _sql(text: str, table: Table) -> sql.Composed:
    return sql.SQL(text).format(table=sql.Identifier(table.name), column=sql.Identifier(table.column))  # type: ignore[arg-type]


def _rows(name: str, column: str, victim: World) -> tuple[Any, ...]:
    with colony_tx("rows of a world"), django_connection.cursor() as cursor:
        cursor.execute(f"SELECT to_jsonb(t)::text FROM {name} t WHERE {column} = %s", [victim.tenant.id])
        return tuple(row[0] for row in cursor.fetchall())
