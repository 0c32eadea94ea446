from django.apps import AppConfig


class RbeeConfig(AppConfig):
    name = "rbee"

    def ready(self) -> None:
        from rbee import data_places  # noqa: F401 -- registers
