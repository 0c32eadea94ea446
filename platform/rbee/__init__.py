"""The Django project: settings, URLs, ASGI, Celery."""
