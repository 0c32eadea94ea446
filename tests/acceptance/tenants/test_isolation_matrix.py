"""Every route, method and object by everybody who may not: nothing of a tenant is seen, told or changed by another.

Django's side is called in this process, each cell in a transaction that is taken back; `/v1` is a queen that runs. Each
check is first shown to find a bug that is planted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings as django_settings
from django.db.models import Model
from django.utils.timezone import now
from rest_framework.exceptions import NotFound, PermissionDenied

from billing.domain.price_terms import set_terms
from billing.domain.prices import ensure_card
from billing.domain.rating import Terms
from gdpr.log.store import FolderStore
from gdpr.log.writer import LogWriter
from gdpr.scope import TenantManager, colony_tx
from inference.domain.breaches import open_breach
from rbee.dashboard import keys as pages
from tenants.api import base, invitations, keys, members, permissions, webhooks
from tenants.domain import authentication
from tenants.domain.keys import issue_api_key
from tenants.models import Alert, Invitation, Member, Project, Tenant, WebhookEndpoint
from tests.acceptance.figures import SCALE, note
from tests.acceptance.tenants.isolation import matrix, routes
from tests.acceptance.tenants.isolation.callers import Caller, Kind, bearer, cookies, make_cast, session
from tests.acceptance.tenants.isolation.targets import DJANGO, of
from tests.acceptance.tenants.isolation.world import make_world, unmarked
from tests.factories.audit import SIGNER
from tests.factories.billing import make_price
from tests.factories.inference import make_hive, make_model
from tests.factories.tenants import TESTER, make_plan, unique
from tests.factories.webhooks import make_operator_endpoint
from tests.inference.conftest import Api, mode

__all__ = ["mode"]

EACH = 2  # callers of each kind, of each object, where the matrix is not run in full
SOURCE = "fn should_admit(task, customer) { admit() }"


@pytest.fixture
def operator(mode: Callable[[str], Project], settings, tmp_path: Path) -> Api:  # type: ignore[no-untyped-def]
    publish_log(tmp_path)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # nobody guesses here
    project = mode("business")
    django_settings.RBEE = dataclasses.replace(
        django_settings.RBEE, signup="open", audit_dir=tmp_path
    )  # the most that anybody may
    return Api(issue_api_key(project, name="operator", scopes=["manage"], actor=TESTER)[1])


def publish_log(folder: Path) -> None:
    """Which no sequencer does here: the entries of a cell are taken back."""
    writer = LogWriter(FolderStore(folder), SIGNER)
    writer.add([b"{}"])
    writer.publish()


@pytest.fixture
def the_matrix(operator: Api, monkeypatch: pytest.MonkeyPatch) -> matrix.Matrix:
    provider = {
        "authorization_endpoint": "https://id.example.org/a",
        "token_endpoint": "https://id.example.org/t",
    }
    monkeypatch.setattr(
        OpenIDConnectOAuth2Adapter, "openid_config", provider
    )  # what is asked of other machines
    endpoint, _ = make_operator_endpoint("https://example.org/operator")
    version = operator.post("policies", {"source": SOURCE}).json()
    with colony_tx("an alert of the operator"):
        alert = Alert.objects.create(tenant=None, kind="policy_error", object_ref="policy:x", message="broke")
    breach = open_breach(title="x", since=now() - timedelta(hours=1), until=None, aware_at=None, actor=TESTER)
    names = {"operator_breach": str(breach.id), "operator_webhook": str(endpoint.id), "operator_alert": str(alert.id), "operator_policy": version["id"], "hive": make_hive()[0].name,
             "colony_model": make_model().name, "plan": make_plan().slug, **names_of_prices()}  # fmt: skip
    return matrix.Matrix(make_cast(make_world), names)


def names_of_prices() -> dict[str, str]:
    card = ensure_card(unique("card"), plan=make_plan(), actor=TESTER)
    terms = set_terms(card, Terms(currency=card.currency, discount_bp=1), actor=TESTER)
    return {
        "price_card": card.slug,
        "operator_price": str(make_price(card=card).id),
        "operator_terms": str(terms.id),
    }


def cells_of(the_matrix: matrix.Matrix, prefix: str = "/", *kinds: Kind) -> Iterator[matrix.Cell]:
    chosen = [route for route in routes.django_routes() if route.path.startswith(prefix)]
    callers = [caller for caller in the_matrix.callers if not kinds or caller.kind in kinds]
    return matrix.cells(chosen, DJANGO, callers)


def sampled(cells: Iterable[matrix.Cell]) -> Iterable[matrix.Cell]:
    return cells if SCALE >= 1 else matrix.sample(cells, EACH)


@pytest.mark.timeout(1800)
def test_no_cell_leaks(the_matrix: matrix.Matrix) -> None:
    report = the_matrix.run(sampled(cells_of(the_matrix)))

    note("isolation: cells of Django's side", report.cells)
    note("isolation: leaks of Django's side", len(report.leaks))
    assert report.leaks == []
    assert report.cells >= 2000
    assert set(report.by_kind) == set(Kind)


def test_every_route_is_in_the_matrix(operator: Api) -> None:
    found = routes.django_routes()

    assert matrix.uncovered(found, DJANGO) == []
    assert matrix.undeclared(routes.operations(operator), found, DJANGO) == []


def test_route_that_is_forgotten_fails_the_build(operator: Api) -> None:
    found = [*routes.django_routes(), routes.Route("/api/v1/forgotten/{thing}", ("GET", "POST"), {})]
    half = {**DJANGO, "/api/v1/forgotten/{thing}": (of("GET", thing="x"),), "/api/v1/gone": (of(),)}
    operations = {
        ("/api/v1/keys", "GET"): {"parameters": [{"name": "member", "in": "query", "schema": {}}], "body": {}}
    }

    assert matrix.uncovered(found, DJANGO) == [
        "GET /api/v1/forgotten/{thing}: no target",
        "POST /api/v1/forgotten/{thing}: no target",
    ]
    assert matrix.uncovered(found, half) == [
        "/api/v1/gone: no such route",
        "GET /api/v1/forgotten/{thing}: no target names an object",
        "POST /api/v1/forgotten/{thing}: no target",
    ]
    assert matrix.undeclared(operations, found, DJANGO) == [
        "GET /api/v1/keys: nothing names an object by member"
    ]
    assert matrix.undeclared({("/api/v1/new", "GET"): {}}, found, DJANGO) == [
        "GET /api/v1/new: in the schema only"
    ]


def test_victim_has_a_marker_in_every_field(the_matrix: matrix.Matrix) -> None:
    assert unmarked(the_matrix.cast.victim) == []


def test_every_object_is_there_for_whose_it_is(the_matrix: matrix.Matrix, operator: Api) -> None:
    """Otherwise the matrix would compare nothing with nothing."""
    victim = the_matrix.cast.victim
    key = operator.client.defaults["HTTP_AUTHORIZATION"]
    rightful = [
        Caller("its owner", Kind.INSIDER, victim, victim, session(victim.people["owner"])),
        Caller(
            "its owner in a browser", Kind.INSIDER, victim, victim, cookies=cookies(victim.people["owner"])
        ),
        Caller("its key", Kind.INSIDER, victim, victim, bearer(victim.secrets["manage"])),
        Caller("operator", Kind.INSIDER, victim, victim, {"authorization": key}),
    ]
    named = [route for route in routes.django_routes() if route.wanted]
    cells = (
        matrix.Cell(route, method, target, caller)
        for route in named
        for method in route.methods
        for target in DJANGO[route.path]
        if target.takes(method)
        for caller in rightful
        if caller.is_browser == route.path.startswith("/dashboard")
    )

    assert the_matrix.dead(cells) == []


def without_scope(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(keys, "scope_of", lambda caller, reason: colony_tx(reason))


def page_without_scope(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pages, "tenant_tx", lambda tenant_id: colony_tx("a planted bug"))


def forbidden_for_foreign(patch: pytest.MonkeyPatch) -> None:
    found = members.OneMember.found

    def tells(view: members.OneMember, member_id: object) -> Member:
        with colony_tx("a planted bug"):
            there = Member.objects.filter(id=member_id).first()
        if there and there.tenant_id.hex != view.caller.tenant_id:
            raise PermissionDenied
        return found(view, member_id)

    patch.setattr(members.OneMember, "found", tells)


def one_query_more(patch: pytest.MonkeyPatch) -> None:
    found = webhooks.WebhookView.endpoint

    def slower(view: webhooks.WebhookView, webhook: object) -> WebhookEndpoint:
        with colony_tx("a planted bug"):
            if WebhookEndpoint.objects.filter(id=webhook).exists():
                list(Tenant.objects.all()[:1])
        return found(view, webhook)

    patch.setattr(webhooks.WebhookView, "endpoint", slower)


def revoked_is_good(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(authentication, "BY_MAC", authentication.BY_MAC.replace("k.revoked_at IS NULL", "true"))


def changes_before_it_looks(patch: pytest.MonkeyPatch) -> None:
    def delete(view: object, request: object, invitation: object) -> None:
        with colony_tx("a planted bug"):
            Invitation.objects.filter(id=invitation).delete()
        raise NotFound("There is no such invitation.")

    patch.setattr(invitations.OneInvitation, "delete", delete)


def name_in_a_header(patch: pytest.MonkeyPatch) -> None:
    finalize = base.ManagementView.finalize_response

    def boastful(view: base.ManagementView, *args: object, **named: object):  # type: ignore[no-untyped-def]
        response = finalize(view, *args, **named)
        with colony_tx("a planted bug"):
            response["X-Customers"] = ",".join(Tenant.objects.values_list("slug", flat=True))
        return response

    patch.setattr(base.ManagementView, "finalize_response", boastful)


def role_is_not_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(permissions, "capabilities_of", lambda caller: frozenset(permissions.Capability))


@pytest.mark.parametrize(
    ("plant", "prefix", "kind", "finding"),
    [
        (without_scope, "/api/v1/keys/", Kind.STRANGER, "shows"),
        (page_without_scope, "/dashboard/keys/{key}", Kind.STRANGER, "shows"),
        (forbidden_for_foreign, "/api/v1/members/", Kind.STRANGER, "by its status 403"),
        (one_query_more, "/api/v1/webhooks/{webhook}/pause", Kind.STRANGER, "by its queries"),
        (revoked_is_good, "/api/v1/usage", Kind.OVER, "by revoked: shows"),
        (changes_before_it_looks, "/api/v1/invitations/{invitation}", Kind.STRANGER, "changed a row"),
        (name_in_a_header, "/api/v1/account/memberships", Kind.STRANGER, "shows"),
        (role_is_not_asked, "/api/v1/limits/{kind}/{name}", Kind.INSIDER, "let in"),
    ],
)  # fmt: skip
def test_matrix_finds_a_bug_that_is_planted(
    the_matrix: matrix.Matrix,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    prefix: str,
    kind: Kind,
    finding: str,
) -> None:
    chosen = list(matrix.sample(cells_of(the_matrix, prefix, kind), 16))
    assert the_matrix.run(chosen).leaks == []

    plant(monkeypatch)
    leaks = the_matrix.run(chosen).leaks

    assert [leak for leak in leaks if finding in leak]
    note(f"isolation: leaks of a planted bug, {plant.__name__.replace('_', ' ')}", len(leaks))


@pytest.mark.timeout(1800)
def test_no_cell_leaks_without_the_managers(
    the_matrix: matrix.Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every query is that of a plain manager, and row-level security alone keeps tenants apart."""

    def plain(manager: TenantManager[Model]):  # type: ignore[no-untyped-def]
        return super(TenantManager, manager).get_queryset()

    chosen = cells_of(the_matrix, "/api/", Kind.STRANGER)
    monkeypatch.setattr(TenantManager, "get_queryset", plain)
    report = the_matrix.run(chosen if SCALE >= 1 else matrix.sample(chosen, 1))

    note("isolation: cells without managers", report.cells)
    note("isolation: leaks without managers", len(report.leaks))
    assert report.leaks == []
