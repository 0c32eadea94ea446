"""The application role's rights, the role for work across tenants, and the role that numbers audit entries. Applied after
every migration, so another application role, or a dump restored elsewhere, gets the same rights.

The application role owns nothing: on a table it may do what its rows allow, on an append-only one SELECT and INSERT.
"""

from __future__ import annotations

import re

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from gdpr.models import AppendOnly, AuditEntry, AuditSequence, ReadOnly
from gdpr.schema import SEQUENCER_ROLE
from gdpr.scope import COLONY_ROLE

ALL_ROWS = "SELECT, INSERT, UPDATE, DELETE"
NEW_ROWS = "SELECT, INSERT"
OF_THE_SEQUENCER = {AuditEntry: "SELECT, UPDATE (seq)", AuditSequence: "SELECT, INSERT, UPDATE"}

FIRST_WITH_INHERIT_OPTION = 160000  # server version


def make_colony_role(connection: BaseDatabaseWrapper, application_role: str) -> None:
    """Before the first migration: its policies name the role. Raises ImproperlyConfigured with the SQL that a
    database administrator can run instead."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_setting('server_version_num')::int")
        owner, version = cursor.fetchone()
        _refuse_powerful(cursor, owner, application_role)
        cursor.execute("SELECT rolname FROM pg_roles")
        there = {row[0] for row in cursor.fetchall()}
        statements = [
            f"CREATE ROLE {role} NOLOGIN" for role in (COLONY_ROLE, SEQUENCER_ROLE) if role not in there
        ]
        cursor.execute(
            "SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member"
            " WHERE r.rolname = %s AND u.rolname = %s",
            [COLONY_ROLE, application_role],
        )
        if not cursor.fetchone():
            statements += _membership(application_role, version)
        for statement in statements:
            _execute(cursor, statement, statements)


def grant_tables(connection: BaseDatabaseWrapper, application_role: str) -> None:
    """Idempotent: takes everything away first, in one transaction."""
    roles = sql.SQL(", ").join([sql.Identifier(application_role), sql.Identifier(COLONY_ROLE)])
    sequencer = sql.Identifier(SEQUENCER_ROLE)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}, {}").format(roles, sequencer)
        )
        tables = set(connection.introspection.table_names(cursor))
        for model in apps.get_models(include_auto_created=True):
            if model._meta.db_table in tables:
                cursor.execute(
                    sql.SQL("GRANT {} ON {} TO {}").format(
                        sql.SQL(rights_on(model)), sql.Identifier(model._meta.db_table), roles
                    )
                )
        for model, rights in OF_THE_SEQUENCER.items():
            cursor.execute(
                sql.SQL("GRANT {} ON {} TO {}").format(
                    sql.SQL(rights), sql.Identifier(model._meta.db_table), sequencer
                )
            )
        cursor.execute(sql.SQL("GRANT SELECT ON django_migrations TO {}").format(roles))
        for function in (
            "rbee_make_partitions",
            "rbee_drop_decisions",
            "rbee_drop_audit_month",
            "rbee_drop_usage_month",
            "rbee_rewrite_table",
            "rbee_forget_subject",
        ):
            cursor.execute(
                sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.Identifier(function), roles)
            )


def rights_on(model: type[models.Model]) -> str:
    if issubclass(model, ReadOnly):
        return "SELECT"
    return NEW_ROWS if issubclass(model, AppendOnly) else ALL_ROWS


def _refuse_powerful(cursor, owner: str, application_role: str) -> None:  # type: ignore[no-untyped-def]
    if owner == application_role:
        raise ImproperlyConfigured(
            f"RBEE_DATABASE_URL and RBEE_DATABASE_OWNER_URL both name the role {owner}; row-level security needs an"
            " application role that does not own the tables"
        )
    cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", [application_role])
    row = cursor.fetchone()
    if row is None:
        raise ImproperlyConfigured(
            f"the role of RBEE_DATABASE_URL does not exist: CREATE ROLE {_quoted(application_role)} LOGIN PASSWORD '…'"
        )
    if row[0]:
        raise ImproperlyConfigured(
            f"the role {application_role} of RBEE_DATABASE_URL is a superuser or has BYPASSRLS; take one without"
        )
    cursor.execute(
        "SELECT pg_has_role(%s, oid, 'MEMBER') FROM pg_roles WHERE rolname = %s",
        [application_role, SEQUENCER_ROLE],
    )
    if (row := cursor.fetchone()) and row[0]:
        raise ImproperlyConfigured(
            f"the role {application_role} of RBEE_DATABASE_URL is a member of {SEQUENCER_ROLE}, which alone numbers"
            f" audit entries: REVOKE {SEQUENCER_ROLE} FROM {_quoted(application_role)}"
        )


def _membership(application_role: str, version: int) -> list[str]:
    """A member that must ask for the role: otherwise its policies would hold for everything the queen does."""
    role = _quoted(application_role)
    if version >= FIRST_WITH_INHERIT_OPTION:
        return [f"GRANT {COLONY_ROLE} TO {role} WITH INHERIT FALSE, SET TRUE"]
    return [f"ALTER ROLE {role} NOINHERIT", f"GRANT {COLONY_ROLE} TO {role}"]


def _execute(cursor, statement: str, all_statements: list[str]) -> None:  # type: ignore[no-untyped-def]
    from django.db import Error

    try:
        cursor.execute(statement)
    except Error as error:
        raise ImproperlyConfigured(
            "the role of RBEE_DATABASE_OWNER_URL may not make roles; let an administrator run: "
            + "; ".join(all_statements)
        ) from error


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
