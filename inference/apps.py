from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "Inference"

    def ready(self) -> None:
        from billing.domain.prices import who_publishes
        from inference.domain import holders
        from inference.domain.catalog import published_capabilities

        who_publishes(published_capabilities)
        holders.register()
