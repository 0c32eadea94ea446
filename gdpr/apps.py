from django.apps import AppConfig


class GdprConfig(AppConfig):
    name = "gdpr"

    def ready(self) -> None:
        from gdpr import data_places, foreign  # noqa: F401 -- register
