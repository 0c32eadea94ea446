from django.apps import AppConfig


class GdprConfig(AppConfig):
    name = "gdpr"

    def ready(self) -> None:
        from gdpr import data_places, foreign  # noqa: F401 -- register
        from gdpr.domain import erasure, exports, imports, needles  # noqa: F401 -- register what they work on
        from gdpr.domain.audit_details import read_for_export
        from gdpr.domain.files import Files, Logs
        from gdpr.domain.holders import register_holder
        from gdpr.domain.portable import register_opener
        from gdpr.domain.tables import Tables
        from gdpr.domain.vault_erasure import Vault

        for holder in (Vault(), Tables(), Files(), Logs()):
            register_holder(holder)
        register_opener("gdpr.VaultItem", "ciphertext", "details", read_for_export)
        needles.register()
