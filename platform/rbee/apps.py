from django.apps import AppConfig


class RbeeConfig(AppConfig):
    name = "rbee"
