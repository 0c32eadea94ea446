"""The first rows of a colony. Every function may run again: what is there stays as its operator left it."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from billing.domain.prices import ensure_card
from gdpr.domain.audit import Actor
from gdpr.domain.partitions import make_partitions
from gdpr.scope import colony_tx
from inference.domain.catalog import NewModel, add_model
from inference.domain.errors import ColonyError
from inference.domain.hives import create_join_token
from inference.models import Model
from tenants.domain.authentication import HOME_TENANT, find_caller
from tenants.domain.keys import issue_api_key
from tenants.domain.tenancy import OPERATOR_TENANT, create_tenant, make_plans
from tenants.enums import KeyScope
from tenants.models import ApiKey, Project, Tenant

ACTOR = Actor.system("bootstrap")
EMBEDDED_MODEL = "rbee-mini"
KEY_FILE = "operator.key"


class KeyFileInTheWay(ColonyError):
    status = 409
    type = "conflict_error"
    code = "key_file_in_the_way"


def prepare_colony() -> Project:
    """Partitions, plans, the default price card, and the operator's tenant, whose first project is returned."""
    make_partitions()
    make_plans(actor=ACTOR)
    ensure_card(actor=ACTOR)
    slug = OPERATOR_TENANT if settings.RBEE.is_business else HOME_TENANT
    with colony_tx("operator's tenant"):
        project = Project.objects.select_related("tenant").filter(tenant__slug=slug).order_by("id").first()
    if project is None:
        _, project = create_tenant(slug=slug, name=slug.capitalize(), plan_slug=slug, actor=ACTOR)
    return project


def make_local_token() -> str:
    """For the hive of this machine, which runs the embedded model. One that was removed does not come back."""
    if not Model.objects.filter(name=EMBEDDED_MODEL).exists():
        add_model(NewModel(source=f"builtin:{EMBEDDED_MODEL}", hives=[], is_free=True), actor=ACTOR)
    in_catalog = Model.objects.filter(name=EMBEDDED_MODEL, removed_at=None).exists()
    _, token = create_join_token(model_names=[EMBEDDED_MODEL] if in_catalog else [], actor=ACTOR)
    return token


def make_operator_key(project: Project, data_dir: Path) -> str | None:
    """The operator's key, kept in `data_dir` and returned when it was made or found half made; None when there is one.

    It is written before the transaction that makes it valid commits, under a name that is not final: a process that
    dies in between leaves either no key, or one that the next run finds. Raises KeyFileInTheWay.
    """
    path = data_dir / KEY_FILE
    unfinished = path.with_suffix(".unfinished")
    if secret := _valid_key(unfinished):
        unfinished.rename(path)
        return secret
    unfinished.unlink(missing_ok=True)
    if path.exists():
        if _valid_key(path):
            return None
        raise KeyFileInTheWay(f"{path} holds a key that is not of this colony; move it away and try again")
    with colony_tx("operator's key"):
        Tenant.objects.select_for_update().get(id=project.tenant_id)  # one at a time
        if ApiKey.objects.filter(
            tenant_id=project.tenant_id, revoked_at=None, scopes__contains=[KeyScope.MANAGE]
        ).exists():
            return None
        _, secret = issue_api_key(
            project, name="operator", scopes=[KeyScope.MANAGE, KeyScope.GDPR], actor=ACTOR
        )
        _write_private(unfinished, secret)
    unfinished.rename(path)
    return secret


def _valid_key(path: Path) -> str | None:
    try:
        secret = path.read_text().strip()
    except FileNotFoundError:
        return None
    return secret if find_caller(secret) else None


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
