"""`manage.py migrate`: Django's, as the owner of the tables, one at a time, with roles, rights and partitions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as Migrate
from django.db import OperationalError, connections, transaction

from gdpr.domain.partitions import make_partitions
from gdpr.duties import unrecorded
from rbee.roles import grant_tables, make_colony_role

if TYPE_CHECKING:
    from django.db.backends.postgresql.base import DatabaseWrapper

LOCK = 0x7262_6565_0001
OLDEST = 150_000  # server version


class Command(Migrate):
    audits = unrecorded(
        "before the first migration there is no log; the table django_migrations tells what ran, and when"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def execute(self, *args: Any, **options: Any) -> Any:
        settings.RBEE.require("database_url", "database_owner_url")
        if options.get("database") != "owner":
            raise CommandError("migrate runs as the owner of the tables: leave --database out")
        try:
            connections["owner"].ensure_connection()
        except OperationalError as error:
            raise CommandError(
                f"the database of RBEE_DATABASE_OWNER_URL does not answer: {error}".strip()
            ) from None
        version = cast("DatabaseWrapper", connections["owner"]).pg_version
        if version < OLDEST:
            raise CommandError(
                f"rbee needs PostgreSQL {OLDEST // 10_000} or later; this is {version // 10_000}"
            )
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        owner, application_role = connections["owner"], settings.DATABASES["default"]["USER"]
        with _one_at_a_time():
            make_colony_role(owner, application_role)
            super().handle(*args, **options)
            if self._foundations_stand():
                with transaction.atomic(using="owner"):
                    grant_tables(owner, application_role)
                make_partitions(using="owner")

    def _foundations_stand(self) -> bool:
        """Not after `migrate gdpr zero` or `--plan`."""
        return "gdpr_auditentry" in connections["owner"].introspection.table_names()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two queens that start together must not both migrate. The lock ends with the connection."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        with connections["owner"].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
