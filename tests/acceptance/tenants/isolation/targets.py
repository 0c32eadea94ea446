"""How each route is asked: for what is the caller's own, and for objects by every name that they have.

A placeholder `{name}` is filled from the names of a world, `{own_name}` from those of the caller's. A route that is not
here, or whose parameters nothing here names, fails the build.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from inference.rest.organization.usage import KINDS

PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Target:
    """`on`: methods, all of the route's when empty. `path` maps the route's parameters to placeholders. `why`: the answer
    may tell whether there is such an object, for this reason. `is_blind`: it tells nobody, also not whose it is.
    `says_where`: in which of their tenants a person acts, who knows those."""

    on: str = ""
    path: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    body: Mapping[str, Any] | None = None
    why: str = ""
    is_blind: bool = False
    says_where: bool = False

    @property
    def names(self) -> frozenset[str]:
        """Of others' objects."""
        text = f"{sorted(self.path.values())} {self.query} {self.body}"
        return frozenset(name for name in PLACEHOLDER.findall(text) if not name.startswith("own_"))

    def takes(self, method: str) -> bool:
        return not self.on or method in self.on.split()

    def url(self, route: str, names: Mapping[str, str]) -> str:
        path = PLACEHOLDER.sub(lambda found: quote(fill(self.path[found[1]], names), safe=""), route)
        return f"{path}?{fill(self.query, names, quoting=True)}" if self.query else path

    def payload(self, names: Mapping[str, str]) -> dict[str, Any]:
        return _filled(self.body, names) if self.body else {}

    def label(self) -> str:
        return " ".join(
            filter(None, [*self.path.values(), self.query, str(dict(self.body or {})) if self.body else ""])
        )


def of(
    on: str = "",
    *,
    query: str = "",
    body: Mapping[str, Any] | None = None,
    why: str = "",
    is_blind: bool = False,
    says_where: bool = False,
    **path: str,
) -> Target:
    return Target(on, path, query, body, why, is_blind, says_where)


def fill(text: str, names: Mapping[str, str], *, quoting: bool = False) -> str:
    return PLACEHOLDER.sub(lambda found: quote(names[found[1]]) if quoting else names[found[1]], text)


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return fill(value, names)
    if isinstance(value, Mapping):
        return {name: _filled(inner, names) for name, inner in value.items()}
    return [_filled(inner, names) for inner in value] if isinstance(value, list) else value


PUBLIC_NAME: Final = "a tenant's slug is a name in public, of which there is one"
LOG_IN_PAGE: Final = "whoever logs in has to be led to their provider before anybody knows them"

LIST = (
    of("GET"),
    of("GET", query="tenant={tenant}"),
    of("GET", query="cursor={cursor}&limit=1000", is_blind=True),
)
OWN = (of(),)
PUBLIC_LIST = "every tenant may know who works for the operator"
DOCUMENTS = "each colony has the same kinds of documents"

OWN_AND_OTHERS = (of("GET"), of("GET", query="tenant={tenant}"))
PRICE_CARD = (of(slug="{price_card}"),)
WEBHOOK = (of(webhook="{webhook}"), of(webhook="{operator_webhook}"))
SOURCE = "fn should_admit(task, customer) { admit() }"
LIMITS = {"requests_per_minute": 7}

AUDIT = (
    *LIST,
    of("GET", query="event=task.*"),
    of("GET", query="about=key:{kid}"),
    of("GET", query="project={project_id}"),
    of("GET", query="actor={actor}"),
)

MANAGEMENT: Final[Mapping[str, Sequence[Target]]] = {
    "account": OWN,
    "account/tenants": (
        of(body={"slug": "{own_new}"}),
        of(body={"slug": "{tenant}"}, why=PUBLIC_NAME),
    ),
    "account/memberships/{slug}": (of(slug="{tenant}"),),
    "alerts": (*LIST, of("GET", query="state=all")),
    "alerts/{alert}/close": (of(alert="{alert}"), of(alert="{operator_alert}")),
    "audit": AUDIT,
    "audit/{entry}": (of(entry="{task}"), of(entry="{task}", query="details=true")),
    "billing/balance": LIST[:2],
    "billing/account": (
        of("GET"),
        of("GET", query="tenant={tenant}"),
        of("PATCH", body={"legal_name": "x"}),
        of("PATCH", query="tenant={tenant}", body={"legal_name": "x"}),
        of("PATCH", query="tenant={tenant}", body={"mode": "prepaid"}),
    ),
    "billing/credits": (of(body={"tenant": "{tenant}", "amount_micros": 5_000_000, "reason": "x"}),),
    "billing/payments": (
        *LIST,
        of("POST", body={"tenant": "{tenant}", "amount_micros": 5_000_000, "reference": "{own_new}"}),
        of("POST", body={"tenant": "{own_tenant}", "amount_micros": 5_000_000, "reference": "{payment_reference}"}),
    ),
    "billing/seller": (of("GET"), of("PATCH", body={"legal_name": "x"})),
    "billing/auto-recharge": (
        *OWN_AND_OTHERS,
        of("PUT", body={"on": False, "tenant": "{tenant}"}),
    ),
    "billing/connect/buyer": (
        of(body={"tenant": "{tenant}", "seller": ""}),
        of(body={"tenant": "{own_tenant}", "seller": "{tenant}"}, is_blind=True),
    ),
    "billing/cards": LIST[:2],
    "billing/checkout": (
        of(body={"amount_micros": 25_000_000}),
        of(body={"amount_micros": 25_000_000, "tenant": "{tenant}"}),
    ),
    "billing/disputes/{reversal}/close": (of(reversal="{reversal}"),),
    "billing/payments/{payment}": (of(payment="{payment}"),),
    "billing/payments/{payment}/refunds": (of(payment="{payment}"),),
    "billing/portal": (of(body={}), of(body={"tenant": "{tenant}"})),
    "billing/connect": (
        *OWN_AND_OTHERS,
        of("PUT", body={"fee_basis_points": 100, "tenant": "{tenant}"}),
    ),
    "billing/connect/onboarding": (of(body={}), of(body={"tenant": "{tenant}"})),
    "billing/stripe": OWN,
    "billing/stripe/meters": OWN,
    "billing/stripe/meters/{name}": (of(name="{colony_model}", is_blind=True),),
    "billing/stripe/plans/{slug}": (of("GET", slug="{plan}"), of("PUT", slug="{plan}", body={"price": "price_1"}, is_blind=True)),
    "billing/subscription": (
        *LIST[:2],
        of("POST", body={"plan": "free"}),
        of("POST", body={"plan": "free", "tenant": "{tenant}"}),
        of("DELETE"),
        of("DELETE", query="tenant={tenant}"),
    ),
    "billing/differences/{difference}": (of(difference="{difference}"),),
    "billing/reconciliation": (of("GET"), of("POST", body={"day": "2026-01-01"})),
    "billing/reconciliation/{report}": (of(report="{reconciliation}"),),
    "billing/tasks/{task}": (of(task="{task}"), of(task="{answer}"), of(task="{request}")),
    "breaches": (of("GET"), of("POST", body={"title": "x", "since": "2026-01-01T00:00:00Z"})),
    "breaches/{breach}": (of(breach="{operator_breach}"),),
    "breaches/{breach}/close": (of(breach="{operator_breach}", body={"conclusion": "x"}),),
    "breaches/{breach}/facts": (of(breach="{operator_breach}", body={"text": "x"}),),
    "breaches/{breach}/notice": (
        of(breach="{operator_breach}"),
        of(breach="{operator_breach}", query="to={tenant}", is_blind=True),
    ),
    "costs/compare": OWN,
    "costs/gpus": (of("GET"), of("POST", body={"target": "{hive}", "busy_w": 1})),
    "costs/list-prices": OWN,
    "costs/report": (of(), of(query="by=tenant")),
    "costs/utilisation": OWN,
    "hives": OWN,
    "hives/join-tokens": OWN,
    "hives/{name}": (of(name="{hive}"),),
    "hives/{name}/attestation": (
        of("PUT", name="{hive}", body={"region": "EU"}),
        of("DELETE", name="{hive}"),
    ),
    "impersonations": LIST,
    "impersonations/{visit}": (of(visit="{visit}"),),
    "invitations": (
        *LIST,
        of("POST", body={"email": "{own_new}@example.org"}),
        of("POST", body={"email": "x@example.org", "tenant": "{tenant}"}),
        of("POST", body={"email": "{email}"}),
        of("POST", body={"email": "{guest}"}, is_blind=True),
    ),
    "invitations/accept": (
        of(body={"token": "{invitation_token}", "password": "a long new password"}, is_blind=True),
    ),
    "invitations/{invitation}": (of(invitation="{invitation}"),),
    "invoices": (
        *LIST,
        of("GET", query="status=open"),
        of("POST", body={"tenant": "{tenant}"}),
        of("POST", body={"tenant": "{tenant}", "month": "2026-01"}),
    ),
    "invoices/upcoming": (of(), of(query="tenant={tenant}")),
    "invoices/{number}": (of(number="{invoice}"), of(number="{credit_note}")),
    "invoices/{number}/credit": (of(number="{invoice}", body={"reason": "x"}),),
    "invoices/{number}/pdf": (of(number="{invoice}"), of(number="{credit_note}")),
    "invoices/{number}/void": (of(number="{invoice}", body={"reason": "x"}),),
    "invoices/{number}/write-off": (of(number="{invoice}", body={"reason": "x"}),),
    "keys": (
        *LIST,
        of("GET", query="include_revoked=true"),
        of("GET", query="project={project}"),
        of("POST", body={"name": "x"}),
        of("POST", body={"name": "x", "tenant": "{tenant}"}),
        of("POST", body={"name": "x", "project": "{project}"}),
    ),
    "keys/report-leak": (of(body={"key": "{brought}"}, is_blind=True),),
    "keys/{key}": (
        of("GET DELETE", key="{key_id}"),
        of("GET DELETE", key="{kid}"),
        of("GET DELETE", key="{brought_key_id}"),
        of("PATCH", key="{key_id}", body={"name": "x"}),
        of("PATCH", key="{kid}", body={"name": "x"}),
    ),
    "keys/{key}/rotate": (of(key="{key_id}"), of(key="{kid}"), of(key="{brought_key_id}")),
    "limits": OWN,
    "limits/{kind}/{name}": (
        of("GET", kind="tenant", name="{tenant}"),
        of("GET", kind="subject", name="{tenant}"),
        of("GET", kind="project", name="{project_id}"),
        of("GET", kind="key", name="{key_id}"),
        of("GET", kind="key", name="{kid}"),
        of("PUT PATCH", kind="tenant", name="{tenant}", body=LIMITS),
        of("PUT PATCH", kind="subject", name="{tenant}", body=LIMITS),
        of("PUT PATCH", kind="project", name="{project_id}", body=LIMITS),
        of("PUT PATCH", kind="key", name="{key_id}", body=LIMITS),
        of("PUT PATCH", kind="key", name="{kid}", body=LIMITS),
    ),
    "members": LIST,
    "members/{member}": (
        of("GET DELETE", member="{member}"),
        of("PATCH", member="{member}", body={"role": "viewer"}),
    ),
    "models": OWN,
    "models/{name}": (of(name="{colony_model}"),),
    "operators": (of(body={"email": "{email}", "password": "a long new password"}),),
    "plans": OWN,
    "plans/{slug}": (of("GET DELETE", slug="{plan}"), of("PATCH PUT", slug="{plan}", body={"name": "x"})),
    "policies": (
        *LIST,
        of("POST", body={"source": SOURCE}),
        of("POST", body={"source": SOURCE, "tenant": "{tenant}"}),
    ),
    "policies/dry-run": (of(body={"source": SOURCE}), of(body={"source": SOURCE, "tenant": "{tenant}"})),
    "policies/log": LIST,
    "policies/settings": (
        *LIST[:2],
        of("PATCH", body={"on_error": "refuse"}),
        of("PATCH", body={"on_error": "refuse", "tenant": "{tenant}"}),
    ),
    "policies/rollback": (of(), of(body={"tenant": "{tenant}"})),
    "policies/{version_id}": (of(version_id="{policy}"), of(version_id="{operator_policy}")),
    "policies/{version_id}/diff": (
        of(version_id="{policy}"),
        of(version_id="{operator_policy}"),
        of(version_id="{own_policy}", query="against={policy}"),
        of(version_id="{own_policy}", query="against={operator_policy}", is_blind=True),
    ),
    "policies/{version_id}/dry-run": (of(version_id="{policy}", body={"last": 1}),),
    "policies/{version_id}/log": (of(version_id="{policy}"), of(version_id="{operator_policy}")),
    "policies/{version_id}/activate": (of(version_id="{policy}"), of(version_id="{operator_policy}")),
    "price-cards": (of("GET"), of("POST", body={"slug": "{own_new}", "plan": "{plan}"})),
    "price-cards/{slug}": PRICE_CARD,
    "price-cards/{slug}/export": PRICE_CARD,
    "price-cards/{slug}/import": (of(slug="{price_card}", body={"text": "prices: [{model: x, free: true}]"}),),
    "price-cards/{slug}/prices": (
        of("GET", slug="{price_card}"),
        of("POST", slug="{price_card}", body={"model": "x", "prices": {"prompt_tokens": 1, "completion_tokens": 1}}),
    ),
    "price-cards/{slug}/prices/{version}": (of(slug="{price_card}", version="{operator_price}"),),
    "price-cards/{slug}/terms": (
        of("GET", slug="{price_card}"),
        of("POST", slug="{price_card}", body={"terms": {"discount": "1%"}}),
    ),
    "price-cards/{slug}/terms/{version}": (of(slug="{price_card}", version="{operator_terms}"),),
    "prices": (of("GET"), of("GET", query="tenant={tenant}")),
    "prices/what-if": (
        of(body={"text": "prices: [{model: x, free: true}]", "month": "2026-10"}),
        of(body={"text": "prices: [{model: x, free: true}]", "month": "2026-10", "tenant": "{tenant}"}),
    ),
    "projects": (
        *LIST,
        of("GET", query="include_archived=true"),
        of("POST", body={"slug": "{own_new}"}),
        of("POST", body={"slug": "{project}"}),  # a name within a tenant
        of("POST", body={"slug": "x", "tenant": "{tenant}"}),
    ),
    "projects/{project}": (
        of("GET DELETE", project="{project_id}"),
        of("GET DELETE", project="{project}"),
        of("GET DELETE", project="{project}", query="tenant={tenant}"),
        of("PATCH", project="{project_id}", body={"name": "x"}),
        of("PATCH", project="{project}", query="tenant={tenant}", body={"name": "x"}),
    ),
    "schema": OWN,
    "schema/": OWN,
    "status": OWN,
    "tasks": (*LIST, of(query="model={model}"), of(query="worker={worker}")),
    "tasks/content": (
        of("GET"),
        of("GET", query="subject={subject}"),
        of("GET", query="model={model}"),
        of("GET", query="cursor={cursor}&limit=1000", is_blind=True),
    ),
    "tasks/{task}/content": (of(task="{task}"), of(task="{answer}")),
    "tasks/{task}/decision": (of(task="{task}"), of(task="{answer}"), of(task="{request}")),
    "tenants": (*LIST[::2], of("POST", body={"slug": "{tenant}"})),
    "tenants/{slug}": (
        of("GET", slug="{tenant}"),
        of("PATCH", slug="{tenant}", body={"name": "x"}),
        of("PATCH", slug="{tenant}", body={"region": "eu"}),
        of("DELETE", slug="{tenant}", body={"confirm": "{tenant}"}),
        of("DELETE", slug="{own_tenant}", body={"confirm": "{tenant}"}),
    ),
    "tenants/{slug}/discounts": (
        of("GET", slug="{tenant}"),
        of("POST", slug="{tenant}", body={"discount": "1%", "reason": "x"}),
    ),
    "tenants/{slug}/impersonations": (of(slug="{tenant}", body={"reason": "x"}),),
    "tenants/{slug}/restore": (of(slug="{tenant}"),),
    "tenants/{slug}/resume": (of(slug="{tenant}"),),
    "tenants/{slug}/sso": (
        of("GET DELETE", slug="{tenant}"),
        of("PUT", slug="{tenant}", body={"issuer": "https://id.example.org", "client_id": "x", "client_secret": "x",
                                         "domains": ["{own_new}.example.org"]}),
    ),
    "tenants/{slug}/suspend": (of(slug="{tenant}"),),
    "tenants/{slug}/transfer": (
        of(slug="{tenant}", body={"member": "{member}", "confirm": "{tenant}"}),
        of(slug="{own_tenant}", body={"member": "{member}", "confirm": "{own_tenant}"}),
    ),
    "usage": (
        *LIST,
        of(query="model={model}"),
        of(query="project={project_id}"),
        of(query="key={key_id}"),
        of(query="key={kid}"),
        of(query="model={model}&format=csv"),
    ),
    "usage/summary": (
        of("GET"),
        of("GET", query="tenant={tenant}"),
        of("GET", query="key={kid}"),
        of("GET", query="project={project_id}"),
        of("GET", query="model={model}&group_by=model,tenant&format=csv"),
    ),
    "webhooks": (
        *LIST,
        of("POST", body={"url": "https://example.org/{own_new}"}),
        of("POST", body={"url": "https://example.org/x", "tenant": "{tenant}"}),
    ),
    "webhooks/events": OWN,
    "webhooks/{webhook}": WEBHOOK,
    "webhooks/{webhook}/deliveries": (*WEBHOOK, of(webhook="{own_webhook}", query="cursor={cursor}", is_blind=True)),
    "webhooks/{webhook}/deliveries/{delivery}": (
        of(webhook="{webhook}", delivery="{delivery}"),
        of(webhook="{own_webhook}", delivery="{delivery}"),
        of(webhook="{webhook}", delivery="{own_delivery}"),
    ),
    "webhooks/{webhook}/deliveries/{delivery}/replay": (
        of(webhook="{webhook}", delivery="{delivery}"),
        of(webhook="{own_webhook}", delivery="{delivery}"),
        of(webhook="{webhook}", delivery="{own_delivery}"),
    ),
    "webhooks/{webhook}/pause": WEBHOOK,
    "webhooks/{webhook}/replay": (of(webhook="{webhook}", body={"since": "2026-01-01T00:00:00Z"}),),
    "webhooks/{webhook}/resume": WEBHOOK,
    "webhooks/{webhook}/rotate": WEBHOOK,
    "webhooks/{webhook}/test": WEBHOOK,
}  # fmt: skip


def _listed(name: str) -> tuple[Target, ...]:
    """`name`: of what is listed, whose identifier is where a page begins."""
    return of("GET"), of("GET", query=f"after={{{name}}}", is_blind=True)


OF_PROJECT = {"project": "{org_project}"}
SINCE = "start_time=1767225600"
USAGE = (
    of(query=SINCE),
    of(query=f"{SINCE}&project_ids={{org_project}}", is_blind=True),
    of(query=f"{SINCE}&api_key_ids={{org_key}}", is_blind=True),
    of(query=f"{SINCE}&user_ids={{org_user}}", is_blind=True),
    of(query=f"{SINCE}&models={{model}}", is_blind=True),
)
ORGANIZATION: Final[Mapping[str, Sequence[Target]]] = {
    "admin_api_keys": (*_listed("org_key"), of("POST", body={"name": "x"})),
    "admin_api_keys/{key}": (of(key="{org_admin_key}"),),
    "audit_logs": (
        *_listed("org_entry"),
        of(query="project_ids[]={org_project}", is_blind=True),
        of(query="actor_ids[]={org_user}", is_blind=True),
        of(query="resource_ids[]={org_key}", is_blind=True),
    ),
    "costs": (of(query=SINCE), of(query=f"{SINCE}&project_ids={{org_project}}", is_blind=True)),
    "invites": (
        *_listed("org_invite"),
        of("POST", body={"email": "{own_new}@example.org", "role": "reader"}),
        of("POST", body={"email": "{email}", "role": "reader"}),
        of("POST", body={"email": "{guest}", "role": "reader"}, is_blind=True),
    ),
    "invites/{invite}": (of(invite="{org_invite}"),),
    "projects": (*_listed("org_project"), of("POST", body={"name": "{own_new}"})),
    "projects/{project}": (of("GET", **OF_PROJECT), of("POST", **OF_PROJECT, body={"name": "x"})),
    "projects/{project}/api_keys": (of(**OF_PROJECT),),
    "projects/{project}/api_keys/{key}": (
        of(**OF_PROJECT, key="{org_key}"),
        of(project="{own_org_project}", key="{org_key}"),
        of(**OF_PROJECT, key="{own_org_key}"),
    ),
    "projects/{project}/archive": (of(**OF_PROJECT),),
    "projects/{project}/rate_limits": (of(**OF_PROJECT),),
    "projects/{project}/rate_limits/{rate_limit}": (
        of(**OF_PROJECT, rate_limit="rl-all-models", body={"max_requests_per_1_minute": 7}),
    ),
    "projects/{project}/service_accounts": (
        of("GET", **OF_PROJECT),
        of("POST", **OF_PROJECT, body={"name": "x"}),
    ),
    "projects/{project}/service_accounts/{account}": (
        of(**OF_PROJECT, account="{org_account}"),
        of(project="{own_org_project}", account="{org_account}"),
        of(**OF_PROJECT, account="{own_org_account}"),
    ),
    "projects/{project}/users": (
        of("GET", **OF_PROJECT),
        of("POST", **OF_PROJECT, body={"user_id": "{org_user}", "role": "member"}),
        of("POST", project="{own_org_project}", body={"user_id": "{org_user}", "role": "member"}),
        of("POST", project="{own_org_project}", body={"email": "{email}", "role": "member"}),
    ),
    "projects/{project}/users/{user}": (
        of("GET DELETE", **OF_PROJECT, user="{org_user}"),
        of("GET DELETE", project="{own_org_project}", user="{org_user}"),
        of("POST", **OF_PROJECT, user="{org_user}", body={"role": "member"}),
    ),
    **{f"usage/{kind}": USAGE for kind in KINDS},
    "users": (*_listed("org_user"), of("GET", query="emails[]={email}", is_blind=True)),
    "users/{user}": (
        of("GET DELETE", user="{org_user}"),
        of("POST", user="{org_user}", body={"role": "reader"}),
    ),
}  # fmt: skip

HIVES: Final[Mapping[str, Sequence[Target]]] = {
    "/hive/v1/join": OWN,
    "/hive/v1/placements": OWN,
    "/hive/v1/forgotten": OWN,
}

EXPORT, ERASURE = (of(request_id="{export}"),), (of(request_id="{erasure}"),)

NEW_PASSWORD: Final = "a long new password"
ALLAUTH: Final[Mapping[str, Sequence[Target]]] = {
    "config": OWN,
    "auth/session": OWN,
    "auth/reauthenticate": (of(body={"password": "x"}),),
    "auth/code/confirm": (of(body={"code": "123456"}),),
    "auth/password/request": (of(body={"email": "{email}"}), of(body={"email": "{guest}"})),
    "auth/password/reset": (of(body={"key": "123456", "password": NEW_PASSWORD}),),
    "auth/login": (of(body={"email": "{email}", "password": NEW_PASSWORD}),),
    "auth/signup": (
        of(body={"email": "{email}", "password": NEW_PASSWORD}),
        of(body={"email": "{guest}", "password": NEW_PASSWORD}),
    ),
    "auth/email/verify": (of(body={"key": "123456"}),),
    "auth/email/verify/resend": OWN,
    "auth/phone/verify": OWN,
    "auth/phone/verify/resend": OWN,
    "account/password/change": (of(body={"current_password": "x", "new_password": NEW_PASSWORD}),),
    "account/email": (of("GET"), of("POST PUT DELETE", body={"email": "{email}"}),
                      of("PATCH", body={"email": "{email}", "primary": True})),
    "account/phone": OWN,
    "account/providers": (of("GET"), of("DELETE", body={"provider": "{tenant}", "account": "{email}"}, why=LOG_IN_PAGE)),
    "auth/provider/signup": (of(body={"email": "{email}"}),),
    "auth/provider/redirect": (of(body={"provider": "{tenant}", "callback_url": "/", "process": "login"},
                                  why=LOG_IN_PAGE),),
    "auth/provider/token": (of(body={"provider": "{tenant}", "process": "login", "token": {"client_id": "x"}},
                               why=LOG_IN_PAGE),),
    "auth/2fa/authenticate": (of(body={"code": "123456"}),),
    "auth/2fa/reauthenticate": (of(body={"code": "123456"}),),
    "account/authenticators": OWN,
    "account/authenticators/totp": OWN,
    "account/authenticators/recovery-codes": OWN,
}  # fmt: skip
PAGES: Final[Mapping[str, Sequence[Target]]] = {
    "invitation/{token}/": (of(token="{invitation_token}"),),
    "login/": (of(body={"login": "{email}", "password": NEW_PASSWORD}),),
    "signup/": (of(body={"email": "{email}", "password1": NEW_PASSWORD}),),
    "reauthenticate/": (of(body={"password": "x"}),),
    "email/": (
        of("GET"),
        of("POST PUT", body={"action_add": "1", "email": "{email}"}),
        of("POST PUT", body={"action_remove": "1", "email": "{email}"}),
        of("POST PUT", body={"action_primary": "1", "email": "{email}"}),
        of("POST PUT", body={"action_send": "1", "email": "{email}"}),
    ),
    "password/reset/": (of(body={"email": "{email}"}), of(body={"email": "{guest}"})),
    **{
        f"saml/{{organization_slug}}/{page}/": (of(organization_slug="{tenant}", why=LOG_IN_PAGE),)
        for page in ("acs", "acs/finish", "sls", "metadata", "login")
    },
    "oidc/{provider_id}/login/": (of(provider_id="{tenant}", why=LOG_IN_PAGE),),
    "oidc/{provider_id}/login/callback/": (of(provider_id="{tenant}", query="state=x&code=x", why=LOG_IN_PAGE),),
} | dict.fromkeys(
    ("logout/", "inactive/", "confirm-email/", "password/change/", "password/set/", "login/code/confirm/",
     "password/reset/confirm/", "password/reset/complete/", "password/reset/done/", "2fa/", "2fa/authenticate/",
     "2fa/reauthenticate/", "2fa/totp/activate/", "2fa/totp/deactivate/", "2fa/recovery-codes/",
     "2fa/recovery-codes/generate/", "2fa/recovery-codes/download/", "3rdparty/login/cancelled/",
     "3rdparty/login/error/", "3rdparty/signup/", "3rdparty/", "social/login/cancelled/", "social/login/error/",
     "social/signup/", "social/connections/"), OWN,
)  # fmt: skip

KEY = (of(key="{key_id}"), of(key="{kid}"), of(key="{brought_key_id}"))

HERE = {"tenant": "{tenant}"}
WHOLE_TENANT, END_USER = {"whose": "tenant"}, {"whose": "subject"}

DASHBOARD: Final[Mapping[str, Sequence[Target]]] = {
    "": OWN,
    "/audit": (
        of(),
        of(query="event=task.*"),
        of(query="about=key:{kid}", is_blind=True),
        of(query="cursor={cursor}", is_blind=True),
    ),
    "/audit/checkpoint": OWN,
    "/audit/export": (
        of(),
        of(query="format=csv&about=key:{kid}", is_blind=True),
    ),
    "/audit/key": OWN,
    "/audit/proof/{entry}": (of(entry="{task}"),),
    "/consents": (of(), of(query="cursor={cursor}", is_blind=True)),
    "/consents/answer": (
        of(body={"purpose": "{own_purpose}", "answer": "withdraw"}),
        of(body={"purpose": "{own_purpose}", "answer": "give", **HERE}, says_where=True),
    ),
    "/consents/find": (of(body={"subject": "x"}), of(body={"subject": "x", **HERE}, says_where=True)),
    "/consents/of/{subject}": (of(subject="{pseudonym}"),),
    "/keys": (
        of(),
        of(query="status=all"),
        of(query="project={project}", is_blind=True),
        of(query="cursor={cursor}", is_blind=True),
    ),
    "/keys/new": (
        of(),
        of("POST", body={"name": "x", "scopes": "inference", "once": "{own_new}", "project": "{project}"}),
        of(
            "POST",
            body={"name": "x", "scopes": "inference", "once": "{own_new}", "tenant": "{tenant}"},
            says_where=True,
        ),
    ),
    "/keys/{key}": (
        *KEY,
        of("POST", key="{key_id}", body={"name": "x"}),
        of("POST", key="{key_id}", body={"name": "x", "tenant": "{tenant}"}, says_where=True),
    ),
    "/keys/{key}/leaked": KEY,
    "/keys/{key}/revoke": KEY,
    "/keys/{key}/rotate": (*KEY, of("POST", key="{kid}", body={"overlap": "0", "once": "{own_new}"})),
    "/privacy": (of(), of(query="kind=erasure"), of(query="cursor={cursor}", is_blind=True)),
    "/privacy/erase/{whose}": (
        of("GET", **WHOLE_TENANT, query="tenant={tenant}", is_blind=True, says_where=True),
        of("POST", **WHOLE_TENANT, body={"confirm": "{tenant}"}, is_blind=True),
        of("POST", **WHOLE_TENANT, body={"confirm": "{tenant}", **HERE}, says_where=True),
        of("POST", **END_USER, body={"subject": "x", "confirm": "x", **HERE}, says_where=True),
    ),
    "/privacy/export/{whose}": (
        of(whose="person"),
        of(**WHOLE_TENANT, body=HERE, says_where=True),
        of(**END_USER, body={"subject": "x"}),
    ),
    "/privacy/requests/{request_id}": (*EXPORT, *ERASURE),
    "/privacy/requests/{request_id}/certificate": ERASURE,
    "/privacy/requests/{request_id}/content": EXPORT,
    "/privacy/requests/{request_id}/take-back": ERASURE,
    "/residency": OWN,
    "/residency/documents/{kind}": (
        of(kind="security"),
        of(kind="dpa", query="tenant={tenant}", is_blind=True, says_where=True),
    ),
    "/tenant": (of(), of(body={"tenant": "{tenant}"})),
    "/visit": (of(), of("POST", body={"token": "rbee_imp_x"})),
    "/visit/leave": OWN,
}


ADMIN: Final[Mapping[str, Sequence[Target]]] = {
    "/admin/usage/export": OWN,
    "/admin/usage/{customer}": (of(customer="{tenant}"),),
}

GDPR: Final[Mapping[str, Sequence[Target]]] = {
    "audit/entries": AUDIT,
    "audit/export": (
        of("GET"),
        of("GET", query="tenant={tenant}"),
        of("GET", query="project={project_id}"),
        of("GET", query="format=csv&event=task.*"),
        of("GET", query="format=cef&about=key:{kid}"),
        of("GET", query="format=syslog&actor={actor}"),
    ),
    "audit/retention": OWN,
    "export": (
        of(),
        of("GET", query="tenant={tenant}", is_blind=True),
        of("GET", query="tenant={tenant}&subject=x"),
        of("POST", body={"tenant": "{tenant}"}),
        of("POST", body={"scope": "account"}),
    ),
    "export/{request_id}": EXPORT,
    "export/{request_id}/content": EXPORT,
    "delete": (
        of(body={"confirm": "{own_new}"}),
        of(body={"confirm": "{tenant}"}, is_blind=True),
        of(body={"tenant": "{tenant}", "confirm": "{tenant}"}),
        of(body={"tenant": "{tenant}", "subject": "x", "confirm": "x"}),
    ),
    "delete/{request_id}": ERASURE,
    "delete/{request_id}/cancel": ERASURE,
    "delete/{request_id}/certificate": ERASURE,
    "import": (of(), of(query="key={kid}", is_blind=True)),
    "import/{request_id}": (of(request_id="{import}"),),
    "replay": OWN,
    "requests": (*LIST, of("GET", query="kind=erasure")),
    "requests/{request_id}/retry": ERASURE,
    "signing-key": OWN,
    "content": (of("GET"), of("PUT", body={"days": 30}), of("DELETE", body={"confirm": "{tenant}"})),
    "consents": (
        of("GET"),
        of("GET", query="subject={subject}"),
        of("GET", query="history=true&cursor={cursor}", is_blind=True),
        of("POST", body={"purpose": "{purpose}"}),
        of("DELETE"),
        of("DELETE", query="subject={subject}"),
    ),
    "consents/{purpose}": (of(purpose="{purpose}"), of(purpose="{purpose}", query="subject={subject}")),
    "consent-texts": (of("GET"), of("POST", body={"purpose": "purpose", "text": "x"})),
    "documents/{kind}": (of(kind="security", why=DOCUMENTS), of(kind="dpia", why=DOCUMENTS)),
    "plan": (of("GET"), of("GET", query="whose=subject")),
    "record": (of("GET"), of("GET", query="format=csv"), of("GET", query="format=markdown")),
    "retention": OWN,
    "schema": (of("GET"), of("GET", query="whose=person")),
    "subprocessors": (of("GET"), of("GET", query="cursor={cursor}&limit=1000", is_blind=True), of("POST")),
    "subprocessors/{sub_processor}": (of(sub_processor="{sub_processor}", why=PUBLIC_LIST),),
    "subprocessors/{sub_processor}/objection": (
        of(sub_processor="{sub_processor}", body={"reason": "x"}, why=PUBLIC_LIST),
    ),
    "keys": OWN,
    "keys/retire": (of(body={"id": "file:x"}),),
    "keys/rotate": OWN,
    "audit/checkpoint": OWN,
    "audit/key": OWN,
    "audit/subscribers": (*LIST, of("POST", body={"member": "{member}"})),
    "audit/subscribers/{member}": (of(member="{member}"),),
    "audit/proof": (of(query="entry={task}"), of(query="index=0"), of(query="from=0")),
}

DJANGO: Final[Mapping[str, Sequence[Target]]] = {
    **{f"/api/v1/{path}": found for path, found in MANAGEMENT.items()},
    **{f"/gdpr/{path}": found for path, found in GDPR.items()},
    **{
        f"{prefix}/organization/{path}": found
        for prefix in ("/v1", "/openai/v1")
        for path, found in ORGANIZATION.items()
    },
    **ADMIN,
    **HIVES,
    "/stripe/webhook": OWN,
    **{
        f"/_allauth/{client}/v1/{path}": found
        for client in ("app", "browser")
        for path, found in ALLAUTH.items()
    },
    "/_allauth/app/v1/tokens/refresh": (of(body={"refresh_token": "x"}),),
    **{f"/accounts/{path}": found for path, found in PAGES.items()},
    **{f"/dashboard{path}": found for path, found in DASHBOARD.items()},
}
