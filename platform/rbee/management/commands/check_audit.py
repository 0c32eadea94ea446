from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gdpr.duties import unrecorded
from rbee import audit_check


class Command(BaseCommand):
    help = "Fail unless every way to change something says which audit entries it writes."
    requires_system_checks: list[str] = []
    audits = unrecorded("it looks, and changes nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = audit_check.findings()
        if findings:
            raise CommandError("\n".join(findings))
        self.stdout.write("Every way to change something says what it records.")
