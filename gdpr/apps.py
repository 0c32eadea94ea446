from django.apps import AppConfig


class GdprConfig(AppConfig):
    name = "gdpr"

    def ready(self) -> None:
        from gdpr import foreign  # noqa: F401 -- registers
