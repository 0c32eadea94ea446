from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError

from gdpr.domain.keyring import make_first_keys
from gdpr.keys.base import KeysUnavailable
from inference.domain import bootstrap
from inference.domain.errors import ColonyError
from inference.domain.hives import restore_hive_acls


class Command(BaseCommand):
    """Prints one line of JSON: `tenant`, `project`, and `join_token` and `operator_key` when they were asked for and
    made."""

    audits = (
        "tenant.created",
        "plan.created",
        "price_card.created",
        "model.added",
        "hive.token_created",
        "key.issued",
    )
    help = "Write the first rows of a colony. May run again; what is there stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--local-hive",
            action="store_true",
            help="offer rbee-mini, and make a join token for this machine's hive",
        )
        parser.add_argument(
            "--operator-key",
            action="store_true",
            help="make the operator's key when there is none; it is kept in RBEE_DATA_DIR/operator.key, mode 0600",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        settings.RBEE.require("database_url", "secret_key", "redis_url")
        try:
            answer = self._prepare(local_hive=options["local_hive"], operator_key=options["operator_key"])
        except ColonyError as error:
            raise CommandError(error.message) from error
        except KeysUnavailable as error:
            raise CommandError(str(error)) from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"the database does not answer: {error}") from error
        except ProgrammingError as error:
            raise CommandError(f"the tables are missing; run: manage.py migrate ({error})") from error
        except OSError as error:
            raise CommandError(f"{error.filename or settings.RBEE.data_dir}: {error.strerror}") from error
        self.stdout.write(json.dumps(answer))

    def _prepare(self, *, local_hive: bool, operator_key: bool) -> dict[str, str]:
        make_first_keys()
        project = bootstrap.prepare_colony()
        answer = {"tenant": project.tenant.slug, "project": project.slug}
        if local_hive:
            answer["join_token"] = bootstrap.make_local_token()
        if operator_key and (secret := bootstrap.make_operator_key(project, settings.RBEE.data_dir)):
            answer["operator_key"] = secret
        restore_hive_acls()
        return answer
