from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from tenants import signals
        from tenants.domain import data_rights, holders

        signals.connect()
        data_rights.register()
        holders.register()
