"""What an export, an import and an erasure have to know of tenants and accounts. Registered when Django starts."""

from __future__ import annotations

import secrets
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.db.models import Q

from gdpr.domain import portable, requests
from gdpr.domain.holders import Lifecycle, register_lifecycle
from gdpr.holding import Identity, Whose
from gdpr.request_models import DataRequest
from tenants.domain.account_life import lock_account
from tenants.domain.alerts import raise_alert
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.tenant_life import KEYS_CHANGED, close_tenant
from tenants.models import Member

FAILED_ALERT = "gdpr_request_failed"


def register() -> None:
    register_lifecycle(Whose.TENANT, Lifecycle(freeze=_close, close=_nothing))
    register_lifecycle(Whose.PERSON, Lifecycle(freeze=lock_account, close=_nothing))
    register_lifecycle(Whose.SUBJECT, Lifecycle(freeze=_tell_queens, close=_nothing))
    requests.on_failed.append(_alert)
    portable.register_natural_key("tenants.Plan", "slug")
    # Who the members are. An archive makes nobody the staff of the colony that reads it.
    portable.register_extra(
        Whose.TENANT,
        portable.Extra(
            "tenants.User",
            ("id", "email", "name", "created_at"),
            _people_of,
            fill={
                "password": lambda: make_password(None),
                "is_active": lambda: True,
                "is_staff": lambda: False,
                "is_superuser": lambda: False,
                "last_login": lambda: None,
            },
        ),
    )
    # Secrets are in no archive: what is put in their place opens nothing.
    portable.register_filler("tenants.ApiKey", "mac", _random)


def _close(identity: Identity) -> None:
    assert identity.tenant_id is not None, "an identity names its owner"
    close_tenant(identity.tenant_id)


def _tell_queens(identity: Identity) -> None:
    """The request itself says that its end user is frozen: `gdpr.domain.frozen`."""
    announce_after_commit(KEYS_CHANGED)


def _nothing(identity: Identity) -> None:
    """Closed when it was frozen."""


def _people_of(identity: Identity) -> Q:
    assert identity.tenant_id is not None, "a tenant has an id"
    members = Member._base_manager.filter(tenant_id=identity.tenant_id).values("user_id")
    return Q(id__in=members)


def _random() -> str:
    return portable.bytes_as_json(secrets.token_bytes(32))


def _alert(request: DataRequest) -> None:
    raise_alert(
        tenant_id=None,
        kind=FAILED_ALERT,
        object_ref=f"request:{UUID(str(request.id)).hex}",
        message=f"The {request.kind} {request.id} failed at {request.step or request.state} ({request.error}):"
        f" `rbee gdpr retry {request.id}` lets it go on.",
    )
