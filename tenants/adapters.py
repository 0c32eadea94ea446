"""What django-allauth asks rbee: who may sign up, how its e-mails leave, how secrets are kept, whom a tenant's identity
provider may bring."""

from __future__ import annotations

import logging
from smtplib import SMTPException
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from gdpr.secrets import seal, unseal
from tenants.api.addresses import address_of
from tenants.domain import single_sign_on
from tenants.domain.holders import SECOND_FACTORS
from tenants.enums import ProviderKind
from tenants.issuers import IssuerSession
from tenants.models import IdentityProvider, User
from tenants.signals import refused

OIDC, SAML = "openid_connect", "saml"
APPS = frozenset({OIDC, SAML})

logger = logging.getLogger(__name__)


class Site:
    """Where we are, as the settings say: the Host header is anybody's to write."""

    def __init__(self) -> None:
        self.name = "rbee"
        self.domain = urlsplit(settings.RBEE.public_url).netloc


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def get_client_ip(self, request: HttpRequest) -> str:
        """By which attempts are counted: behind a proxy all people would be one."""
        return str(address_of(request) or "unknown")

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            refused.send(sender=None, request=request, code="too_many_attempts", status=429)
            raise

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        refused.send(sender=None, request=request, code="wrong_password", status=400)

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Whoever is invited makes their account by accepting."""
        return settings.RBEE.signup == "open"

    def get_phone(self, user: User) -> None:
        """Nobody's: rbee keeps none, and allauth's URLs for them are there all the same."""

    def clean_phone(self, phone: str) -> str:
        raise ValidationError("No phone numbers are kept here.")

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        with colony_tx("sign-up"):
            user = super().save_user(request, user, form, commit)
            record("account.created", actor=Actor.user(user.id), object_ref=f"user:{user.id.hex}")
        return user

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """A server that is away changes no answer: it would tell which addresses have accounts."""
        context = {
            **context,
            **{name: _on_our_url(value) for name, value in context.items() if name.endswith("_url")},
            "current_site": Site(),
        }
        try:
            super().send_mail(template_prefix, email, context)
        except (SMTPException, OSError) as error:
            logger.warning("an e-mail of an account was not sent: %s", type(error).__name__)

    def format_email_subject(self, subject: str) -> str:
        return f"[rbee] {subject}"


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Seeds of second factors are sealed."""

    def encrypt(self, text: str) -> str:
        return seal(text, SECOND_FACTORS).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text.encode(), SECOND_FACTORS)


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Providers are the tenants' own; their name in URLs is the tenant's slug."""

    def list_apps(
        self, request: HttpRequest | None, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        """None for who names none: a list of all would be one of our customers, and the log-in page shows it. Those of
        SAML are named by `client_id`."""
        slug = client_id if provider == SAML else provider
        found = [_app(one) for one in single_sign_on.providers(slug)] if slug and slug not in APPS else []
        return [
            app
            for app in found
            if client_id in (None, app.client_id) and (provider not in APPS or provider == app.provider)
        ]

    def get_requests_session(self) -> IssuerSession:
        return IssuerSession()

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """`pre_social_login` has refused addresses that are not the provider's to speak for."""
        return True

    def is_email_verified(self, provider: Any, email: str) -> bool:
        return single_sign_on.speaks_for(_provider(provider.app.provider_id), email)

    def can_authenticate_by_email(self, login: SocialLogin, email: str) -> bool:
        return single_sign_on.speaks_for(_provider(login.account.provider), email)

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        provider = _provider(sociallogin.account.provider)
        emails = [address.email for address in sociallogin.email_addresses]
        is_theirs = bool(emails) and all(single_sign_on.speaks_for(provider, email) for email in emails)
        if not is_theirs or not single_sign_on.may_bring(provider, sociallogin.user):
            raise ImmediateHttpResponse(
                HttpResponse("This provider does not speak for your address.", status=403)
            )
        if request.user.is_authenticated and request.user.email not in emails:
            raise ImmediateHttpResponse(HttpResponse("Log in by the provider first.", status=403))
        if sociallogin.is_existing:
            single_sign_on.bring(provider, sociallogin.user)

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        with colony_tx("sign-up by an identity provider"):
            user: User = super().save_user(request, sociallogin, form)
            record("account.created", actor=Actor.user(user.id), object_ref=f"user:{user.id.hex}")
            single_sign_on.bring(_provider(sociallogin.account.provider), user)
        return user


def _provider(slug: str) -> IdentityProvider:
    found = single_sign_on.providers(slug)
    if not found:
        raise PermissionDenied
    return found[0]


def _app(provider: IdentityProvider) -> SocialApp:
    """Never saved: its secret would lie open in the table."""
    if provider.kind == ProviderKind.SAML:
        return SocialApp(
            provider=SAML,
            provider_id=provider.tenant.slug,
            name=provider.tenant.slug[:40],
            client_id=provider.tenant.slug,
            settings={
                "idp": {
                    "entity_id": provider.issuer,
                    "sso_url": provider.sso_url,
                    "x509cert": provider.certificate,
                },
                "advanced": {
                    "want_assertion_signed": True,
                    "want_name_id": True,
                    "want_attribute_statement": False,
                },
            },
        )
    return SocialApp(
        provider=OIDC,
        provider_id=provider.tenant.slug,
        name=provider.tenant.slug[:40],  # shown to whoever knows it; the tenant's name is not theirs to read
        client_id=provider.client_id,
        secret=single_sign_on.client_secret_of(provider),
        settings={"server_url": provider.issuer, "oauth_pkce_enabled": True},
    )


def _on_our_url(url: Any) -> Any:
    if not isinstance(url, str) or "://" not in url:
        return url
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{settings.RBEE.public_url}{parts.path}{query}"
