from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gdpr import data_map, registry, source_check
from gdpr.duties import unrecorded


class Command(BaseCommand):
    help = "Fail unless the data map says all of every column, key in Redis, chore and log field."
    requires_system_checks: list[str] = []
    audits = unrecorded("it looks, and changes nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = [*registry.findings(), *data_map.findings(), *source_check.findings()]
        if findings:
            raise CommandError("\n".join(findings))
        self.stdout.write("Every column, key, chore and log field is in the data map.")
