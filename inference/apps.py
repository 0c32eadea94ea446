from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "Inference"

    def ready(self) -> None:
        from billing.domain.prices import who_publishes
        from gdpr.domain import portable
        from gdpr.domain.holders import register_holder
        from gdpr.holding import Whose
        from inference import data_places  # noqa: F401 -- registers
        from inference.domain import holders
        from inference.domain.catalog import published_capabilities
        from inference.domain.erasures import Hives, RedisKeys
        from inference.domain.kept_content import content_files
        from inference.rest.refusals import note_login_refused
        from tenants.signals import refused

        refused.connect(note_login_refused, dispatch_uid="refused log-ins")
        who_publishes(published_capabilities)
        for holder in (RedisKeys(), Hives()):
            register_holder(holder)
        holders.register()
        for whose in (Whose.TENANT, Whose.SUBJECT):
            portable.register_files(whose, content_files)
