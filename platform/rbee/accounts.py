"""How people log in: settings of django-allauth. What rbee does of its own is in `tenants.adapters`."""

from __future__ import annotations

from operator import attrgetter
from typing import Any
from urllib.parse import urlsplit

from rbee.env import Env

APPS = [
    "django.contrib.sessions",
    "django.contrib.messages",
    "allauth",
    "allauth.account",
    "allauth.headless",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.socialaccount.providers.saml",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
CONTEXT_PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]
CACHE_PREFIX = "rbee:cache"


def account_settings(env: Env) -> dict[str, Any]:
    is_secure = urlsplit(env.public_url).scheme == "https"
    return {
        "AUTHENTICATION_BACKENDS": ["allauth.account.auth_backends.AuthenticationBackend"],
        "ACCOUNT_ADAPTER": "tenants.adapters.AccountAdapter",
        "ACCOUNT_USER_MODEL_USERNAME_FIELD": None,
        "ACCOUNT_LOGIN_METHODS": {"email"},
        "ACCOUNT_SIGNUP_FIELDS": ["email*", "password1*"],
        "ACCOUNT_EMAIL_VERIFICATION": "mandatory",
        # Codes, not links: a link would be made of the Host header, which anybody may write.
        "ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED": True,
        "ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED": True,
        "ACCOUNT_PREVENT_ENUMERATION": True,
        "ACCOUNT_EMAIL_NOTIFICATIONS": True,
        "ACCOUNT_REAUTHENTICATION_REQUIRED": True,
        "ACCOUNT_EMAIL_SUBJECT_PREFIX": "",
        "ACCOUNT_USER_DISPLAY": attrgetter("email"),  # in what pages say to that person
        "ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE": True,
        "HEADLESS_CLIENTS": ("app", "browser"),
        "MFA_ADAPTER": "tenants.adapters.MFAAdapter",
        "MFA_SUPPORTED_TYPES": ["totp", "recovery_codes"],
        "MFA_TOTP_ISSUER": "rbee",
        "SOCIALACCOUNT_ADAPTER": "tenants.adapters.SocialAccountAdapter",
        "SOCIALACCOUNT_STORE_TOKENS": False,
        "SOCIALACCOUNT_LOGIN_ON_GET": False,
        "LOGIN_REDIRECT_URL": "/dashboard",
        "ACCOUNT_LOGOUT_REDIRECT_URL": "/accounts/login/",
        "SESSION_COOKIE_NAME": "rbee_session",
        "SESSION_COOKIE_SECURE": is_secure,
        "CSRF_COOKIE_NAME": "rbee_csrf",
        "CSRF_COOKIE_SECURE": is_secure,
        "CSRF_TRUSTED_ORIGINS": [_origin(env.public_url)],
        "CSRF_FAILURE_VIEW": "rbee.errors.csrf_failure",
        "CACHES": {"default": _cache(env.redis_url)},
        "DEFAULT_FROM_EMAIL": env.email_from,
    }


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _cache(redis_url: str) -> dict[str, Any]:
    """Counts attempts. What is lost with it is that count, no session."""
    if not redis_url:
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": redis_url,
        "KEY_PREFIX": CACHE_PREFIX,
        "OPTIONS": {"socket_timeout": 1.0, "socket_connect_timeout": 1.0},
    }
