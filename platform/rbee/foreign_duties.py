"""What django-allauth's views owe the audit log, by their path below /accounts/ and /_allauth/: they are not ours to say it
in. The entries are written by `tenants.signals` and `tenants.adapters`, in the transaction of `rbee.one_transaction`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gdpr.duties import Duty, unrecorded

LOG_IN: Final = ("account.logged_in", "account.created")
CODE: Final = unrecorded("it sends a code or checks one; what the code is for is recorded where it is done")
LEADS_AWAY: Final = unrecorded("it leads to another page, and changes nothing")
NO_PHONES: Final = unrecorded("no phone numbers are kept: it is always refused")
PROVES: Final = unrecorded("it proves again who is logged in; a wrong proof is recorded as auth.refused")

EMAIL: Final = (
    "account.email_added",
    "account.email_removed",
    "account.email_changed",
    "account.email_confirmed",
)
SECOND_FACTOR: Final = (
    "account.second_factor_added",
    "account.second_factor_removed",
    "account.second_factor_reset",
)

ALLAUTH: Final[Mapping[str, Duty]] = {
    "config": LEADS_AWAY,
    "auth/session": "account.logged_out",
    "auth/reauthenticate": PROVES,
    "auth/code/confirm": LOG_IN,
    "auth/password/request": CODE,
    "auth/password/reset": "account.password_reset",
    "auth/login": LOG_IN,
    "auth/signup": LOG_IN,
    "auth/email/verify": "account.email_confirmed",
    "auth/email/verify/resend": CODE,
    "auth/phone/verify": NO_PHONES,
    "auth/phone/verify/resend": NO_PHONES,
    "auth/provider/signup": LOG_IN,
    "auth/provider/redirect": LEADS_AWAY,
    "auth/provider/token": LOG_IN,
    "auth/2fa/authenticate": LOG_IN,
    "auth/2fa/reauthenticate": PROVES,
    "account/password/change": ("account.password_changed", "account.password_set"),
    "account/email": EMAIL,
    "account/phone": NO_PHONES,
    "account/providers": "account.provider_removed",
    "account/authenticators": SECOND_FACTOR,
    "account/authenticators/totp": SECOND_FACTOR,
    "account/authenticators/recovery-codes": SECOND_FACTOR,
}
PAGES: Final[Mapping[str, Duty]] = {
    "login/": LOG_IN,
    "logout/": "account.logged_out",
    "signup/": LOG_IN,
    "inactive/": LEADS_AWAY,
    "reauthenticate/": PROVES,
    "email/": EMAIL,
    "confirm-email/": "account.email_confirmed",
    "password/change/": "account.password_changed",
    "password/set/": "account.password_set",
    "password/reset/": CODE,
    "password/reset/done/": LEADS_AWAY,
    "password/reset/confirm/": CODE,
    "password/reset/complete/": "account.password_reset",
    "login/code/confirm/": LOG_IN,
    "2fa/": LEADS_AWAY,
    "2fa/authenticate/": LOG_IN,
    "2fa/reauthenticate/": PROVES,
    "2fa/totp/activate/": SECOND_FACTOR,
    "2fa/totp/deactivate/": SECOND_FACTOR,
    "2fa/recovery-codes/": LEADS_AWAY,
    "2fa/recovery-codes/generate/": SECOND_FACTOR,
    "2fa/recovery-codes/download/": LEADS_AWAY,
    "3rdparty/": "account.provider_removed",
    "3rdparty/signup/": LOG_IN,
    "3rdparty/login/cancelled/": LEADS_AWAY,
    "3rdparty/login/error/": LEADS_AWAY,
    "saml/{organization_slug}/acs/": unrecorded("it keeps what the provider says for acs/finish/"),
    "saml/{organization_slug}/acs/finish/": LOG_IN,
    "saml/{organization_slug}/sls/": "account.logged_out",
    "saml/{organization_slug}/metadata/": LEADS_AWAY,
    "saml/{organization_slug}/login/": LEADS_AWAY,
    "oidc/{provider_id}/login/": LEADS_AWAY,
    "oidc/{provider_id}/login/callback/": LOG_IN,
    **{
        f"social/{page}": LEADS_AWAY
        for page in ("login/cancelled/", "login/error/", "signup/", "connections/")
    },
}

FOREIGN: Final[Mapping[str, Duty]] = {
    **{f"/_allauth/{client}/v1/{path}": duty for client in ("app", "browser") for path, duty in ALLAUTH.items()},
    "/dashboard": LEADS_AWAY,
    "/_allauth/app/v1/tokens/refresh": unrecorded("sessions have no tokens to refresh here: it is always refused"),
    **{f"/accounts/{path}": duty for path, duty in PAGES.items()},
}  # fmt: skip
