"""Django's settings, from the environment alone; `env.py` has the variables and what each takes."""

import os
from pathlib import Path

from gdpr.roots import django_keys, roots_of
from rbee import accounts
from rbee.databases import database_settings
from rbee.email import email_settings
from rbee.env import read_env

RBEE = read_env(os.environ)

BASE_DIR = Path(__file__).resolve().parent

# Without a root secret this stays empty, and Django refuses to sign anything.
SECRET_KEY, *SECRET_KEY_FALLBACKS = django_keys(roots_of(RBEE).roots) if RBEE.secret_key else [""]
DEBUG = False
# Hosts are checked where they matter: keyless calls by their own rule, everything else by key.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "rbee",
    "inference",
    "billing",
    "tenants",
    "gdpr",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    *accounts.APPS,
    "rest_framework",
    "drf_spectacular",
]
MIDDLEWARE = [
    "rbee.sources.know_roots",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "rbee.pages.content_security_policy",
    "rbee.sources.remember_source",
    *accounts.MIDDLEWARE,
    "rbee.one_transaction.one_transaction",
]
ROOT_URLCONF = "rbee.urls"
ASGI_APPLICATION = "rbee.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": accounts.CONTEXT_PROCESSORS},
    }
]

DATABASES = database_settings(RBEE)
DATABASE_ROUTERS = ["rbee.databases.MigrateAsOwner"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "tenants.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

globals().update(accounts.account_settings(RBEE), **email_settings(RBEE.smtp_url))

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
STATIC_URL = "/static/"
APPEND_SLASH = False
# The body of a request for an image or of a long conversation; the lane for /v1 has its own limit.
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "rbee.errors.rest_exception_handler",
    "DEFAULT_SCHEMA_CLASS": "rbee.openapi.ManagementSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    # A view that names no rule of its own is closed.
    "DEFAULT_AUTHENTICATION_CLASSES": ["inference.rest.authentication.ManagementAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "rbee management API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "PREPROCESSING_HOOKS": ["rbee.openapi.without_alias"],
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "rbee.openapi.complete"],
    "ENUM_NAME_OVERRIDES": {
        "TenantStatus": "tenants.enums.TenantStatus",
        "EndpointStatus": "tenants.enums.EndpointStatus",
        "DeliveryState": "tenants.enums.DeliveryState",
        "Role": "tenants.enums.Role",
        "OrganizationRole": "inference.rest.organization.people.ORGANIZATION_ROLES",
        "ProjectRole": "inference.rest.organization.people.PROJECT_ROLES",
        "VersionStatus": "inference.enums.VersionStatus",
        "KeyStatus": "tenants.api.key_fields.KEY_STATUSES",
        "VersionOrigin": "inference.rest.policy_fields.VERSION_ORIGINS",
        "ProviderKind": "tenants.enums.ProviderKind",
        "BillingMode": "billing.enums.BillingMode",
        "DifferenceKind": "billing.enums.DifferenceKind",
        "InvoiceKind": "billing.enums.InvoiceKind",
        "InvoiceStatus": "billing.enums.InvoiceStatus",
        "BreachState": "inference.rest.breaches.BREACH_STATES",
        "PriceFileFormat": "billing.domain.price_import.KINDS",
        "DataRequestKind": "gdpr.request_models.RequestKind",
        "DataRequestState": "gdpr.request_models.RequestState",
        "PaymentMethod": "billing.enums.PaymentMethod",
        "PaymentStatus": "billing.enums.PaymentStatus",
        "ReversalKind": "billing.enums.ReversalKind",
        "ReversalState": "billing.enums.ReversalState",
        "WorkerStatus": "hive_agent.protocol.WorkerStatus",
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "rbee.logs.QuietFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": RBEE.log_level.upper()},
    # A request's path may hold what nobody should keep; servers log their own lines.
    "loggers": {
        # Without the handlers that Django brings: one mails errors with what was sent.
        "django": {"handlers": [], "level": "INFO"},
        "django.server": {"handlers": [], "propagate": True},
        "django.request": {"level": "ERROR"},
        "httpx": {"level": "WARNING"},
        "stripe": {"level": "WARNING"},
    },
}
