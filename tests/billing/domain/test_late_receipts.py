from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from billing.domain.late_receipts import LOOKS_BACK, forget_late_receipts
from billing.models import UsageEvent
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from tenants.models import Project
from tests.factories.billing import make_event, make_price
from tests.factories.tenants import make_project

pytestmark = pytest.mark.django_db
ALICE, BOB = "a1" * 16, "b0" * 16
NOW = datetime.now(UTC)


@pytest.fixture
def project() -> Project:
    return make_project()


def event(project: Project, subject: str, *, asked_at: datetime) -> UUID:
    made = make_event(
        project, make_price(), NOW.date(), subject=subject, admitted_at=asked_at, receipt=b"signed", signature=b"s"
    )  # fmt: skip
    return made.task_id


def erased(project: Project, subject: str, at: datetime, state: str = "erased") -> None:
    with colony_tx("tests"):
        DataRequest.objects.create(
            kind="erasure", whose="subject", tenant_id=project.tenant_id, subject=subject, state=state, ended_at=at,
            requested_by="key:x",
        )  # fmt: skip


def of_whom(task_id: UUID) -> tuple[str, bytes, bool]:
    with colony_tx("tests"):
        found = UsageEvent.objects.get(task_id=task_id)
    return found.subject, bytes(found.receipt), found.receipt_erased


def test_receipt_that_comes_after_an_erasure_names_nobody(project: Project) -> None:
    erased(project, ALICE, NOW)
    late = event(project, ALICE, asked_at=NOW - timedelta(minutes=5))
    others = event(project, BOB, asked_at=NOW - timedelta(minutes=5))
    elsewhere = event(make_project(), ALICE, asked_at=NOW - timedelta(minutes=5))

    assert forget_late_receipts() == 1
    assert forget_late_receipts() == 0

    assert of_whom(late) == ("", b"", True)
    assert of_whom(others) == (BOB, b"signed", False)
    assert of_whom(elsewhere) == (ALICE, b"signed", False)


def test_who_comes_back_is_another_end_user_of_the_same_name(project: Project) -> None:
    erased(project, ALICE, NOW)
    again = event(project, ALICE, asked_at=NOW + timedelta(seconds=1))

    assert forget_late_receipts() == 0
    assert of_whom(again)[0] == ALICE


@pytest.mark.parametrize(
    ("state", "at"), [("cancelled", NOW), ("grace", NOW), ("erased", NOW - LOOKS_BACK - timedelta(days=1))]
)
def test_what_is_no_erasure_of_these_days_changes_nothing(project: Project, state: str, at: datetime) -> None:
    erased(project, ALICE, at, state)
    asked = event(project, ALICE, asked_at=at - timedelta(minutes=5))

    assert forget_late_receipts() == 0
    assert of_whom(asked)[0] == ALICE
