"""Who calls: strangers of another tenant, credentials that are over, and the tenant's own people and keys beyond what they
may."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.cookies import SimpleCookie

from django.core.cache import cache
from django.test import Client

from gdpr.scope import colony_tx
from gdpr.secrets import seal
from rbee.dashboard.arrival import LABEL, VISIT
from tenants.domain.authentication import Caller as Who
from tenants.domain.authentication import find_caller, find_memberships
from tenants.domain.impersonation import find_impersonator
from tenants.domain.rights import capabilities_of
from tenants.models import Member, User
from tenants.rules import EVERYBODY, TENANT_HEADER, Capabilities
from tests.acceptance.tenants.isolation.world import PASSWORD, World, close
from tests.factories.tenants import make_member, make_user

HOST = "localhost:7833"


class Kind(StrEnum):
    STRANGER = "stranger"  # may do what they do, with what is theirs
    OVER = "over"  # opens nothing
    INSIDER = "insider"  # of the tenant, and may not do everything


@dataclass(frozen=True)
class Caller:
    """`own`: whose they are; `aims_at`: whose objects they name."""

    name: str
    kind: Kind
    own: World
    aims_at: World
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    may: Capabilities = frozenset()
    is_logged_in: bool = False
    everywhere: bool = False  # of browsers: also where programs call

    @property
    def is_browser(self) -> bool:
        return bool(self.cookies)

    @property
    def by_session(self) -> bool:
        """Or by nothing: pages of accounts look at no key."""
        return "authorization" not in self.headers

    def client(self) -> Client:
        client = Client(headers={"host": HOST, **self.headers}, raise_request_exception=False)
        client.cookies = SimpleCookie(dict(self.cookies))
        return client


@dataclass
class Cast:
    victim: World
    stranger: World
    suspended: World
    closed: World

    def callers(self) -> list[Caller]:
        return [*self.strangers(), *self.over(), *self.insiders()]

    def strangers(self) -> Iterator[Caller]:
        theirs, victim = self.stranger, self.victim

        def stranger(name: str, headers: Mapping[str, str], **more: object) -> Caller:
            return Caller(name, Kind.STRANGER, theirs, victim, headers, **more)  # type: ignore[arg-type]

        for name in ("manage", "inference", "both", "gdpr", "brought"):
            yield stranger(f"other tenant's key: {name}", bearer(theirs.secrets[name]))
        for name in ("visit reading", "visit writing"):
            yield stranger(f"{name} another tenant", bearer(theirs.secrets[name]))
        for role, user in theirs.people.items():
            yield stranger(f"other tenant's {role}", session(user), is_logged_in=True)
        owner = theirs.people["owner"]
        for role, user in theirs.people.items():
            yield stranger(
                f"other tenant's {role} in a browser", {}, cookies=cookies(user), is_logged_in=True,
                everywhere=user is owner,
            )  # fmt: skip
        yield stranger("visit reading another tenant, in a browser", {}, cookies=visiting(theirs))
        yield stranger(
            "other tenant's owner, by the victim's name",
            session(owner) | {TENANT_HEADER: victim.tenant.slug},
            is_logged_in=True,
        )

    def over(self) -> Iterator[Caller]:
        victim = self.victim

        def over(name: str, headers: Mapping[str, str], own: World = victim, **more: object) -> Caller:
            return Caller(name, Kind.OVER, own, own, headers, **more)  # type: ignore[arg-type]

        yield over("nobody", {})
        yield over("a key that is none", bearer("sk-nobody-has-this-one"))
        yield over("a key with one letter changed", bearer(altered(victim.secrets["manage"])))
        yield over("a visit with one letter changed", bearer(altered(victim.secrets["visit reading"])))
        for name in ("revoked", "expired", "visit ended", "visit overdue"):
            yield over(name, bearer(victim.secrets[name]))
        yield over("a session that is none", {"X-Session-Token": "x" * 32})
        yield over("logged out", logged_out(victim.people["viewer"]))
        yield over("member who was removed", removed(victim), is_logged_in=True)
        yield over("account that was switched off", switched_off(victim))
        yield over("key of a suspended tenant", bearer(self.suspended.secrets["both"]), self.suspended)
        yield over("key of a closed tenant", bearer(self.closed.secrets["both"]), self.closed)
        yield over(
            "owner of a closed tenant", session(self.closed.people["owner"]), self.closed, is_logged_in=True
        )
        yield over("logged out of a browser", {}, cookies=cookies_of_nobody(victim.people["viewer"]))
        yield over("visit ended in a browser", {}, cookies=visiting(victim, "visit ended"))
        yield over(
            "owner of a closed tenant in a browser",
            {},
            self.closed,
            cookies=cookies(self.closed.people["owner"]),
            is_logged_in=True,
        )
        yield over("visit of a closed tenant", bearer(self.closed.secrets["visit writing"]), self.closed)

    def insiders(self) -> Iterator[Caller]:
        for world, names in (
            (self.victim, tuple(self.victim.people)),
            (self.suspended, ("owner", "developer")),
        ):
            for role in names:
                user = world.people[role]
                (who,) = find_memberships(user.id)
                name = f"{world.tenant.status} tenant's {role}"
                yield insider(name, world, who, session(user), is_logged_in=True)
                yield insider(
                    f"{name} in a browser", world, who, {}, cookies=cookies(user), is_logged_in=True
                )
        for name in ("inference", "manage"):
            secret = self.victim.secrets[name]
            yield insider(f"own key: {name}", self.victim, find_caller(secret), bearer(secret))
        for name in ("visit reading", "visit writing"):
            secret = self.victim.secrets[name]
            who_visits = find_impersonator(secret)
            yield insider(name, self.victim, who_visits, bearer(secret))
            yield insider(
                f"{name} in a browser", self.victim, who_visits, {}, cookies=visiting(self.victim, name)
            )


def make_cast(make_world) -> Cast:  # type: ignore[no-untyped-def]
    cast = Cast(make_world(), make_world(), make_world(), make_world())
    close(cast.suspended, "suspended")
    close(cast.closed, "closed")
    return cast


def insider(name: str, world: World, who: Who | None, headers: Mapping[str, str], **more: object) -> Caller:
    assert who is not None, name
    may = capabilities_of(who) | EVERYBODY
    return Caller(name, Kind.INSIDER, world, world, headers, may=may, **more)  # type: ignore[arg-type]


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def session(user: User) -> dict[str, str]:
    answer = log_in(user)
    assert answer.status_code == 200, answer.content
    return {"X-Session-Token": answer.json()["meta"]["session_token"]}


def log_in(user: User):  # type: ignore[no-untyped-def]
    cache.clear()  # of attempts that were counted
    return Client().post(
        "/_allauth/app/v1/auth/login", {"email": user.email, "password": PASSWORD}, "application/json"
    )


def cookies(user: User) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    return {name: morsel.value for name, morsel in client.cookies.items()}


def cookies_of_nobody(user: User) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    before = {name: morsel.value for name, morsel in client.cookies.items()}
    client.logout()
    return before


def visiting(world: World, kind: str = "visit reading") -> dict[str, str]:
    """Of a browser that holds such a visit, whether or not it is over."""
    client = Client()
    session = client.session
    session[VISIT] = seal(world.secrets[kind], LABEL).decode()
    session.save()
    return {name: morsel.value for name, morsel in client.cookies.items()}


def logged_out(user: User) -> dict[str, str]:
    headers = session(user)
    assert Client(headers=headers).delete("/_allauth/app/v1/auth/session").status_code == 401
    return headers


def removed(world: World) -> dict[str, str]:
    member = make_member(world.tenant, "admin", user=make_user(password=PASSWORD))
    headers = session(member.user)
    with colony_tx("a member who goes"):
        Member.objects.filter(id=member.id).delete()
    return headers


def switched_off(world: World) -> dict[str, str]:
    member = make_member(world.tenant, "admin", user=make_user(password=PASSWORD))
    headers = session(member.user)
    User.objects.filter(id=member.user_id).update(is_active=False)
    return headers


def altered(secret: str) -> str:
    """Its shape is right, as far as a look at it tells."""
    from tenants.domain.key_format import key_check

    if secret.startswith("rbee_live_"):
        body = secret.rpartition("_")[0]
        body = body[:-1] + ("a" if body[-1] != "a" else "b")
        return f"{body}_{key_check(body)}"
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")
