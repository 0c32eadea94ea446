from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "Inference"

    def ready(self) -> None:
        from billing.domain.prices import who_publishes
        from inference import data_places  # noqa: F401 -- registers
        from inference.domain.catalog import published_capabilities

        who_publishes(published_capabilities)
