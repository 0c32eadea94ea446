import pytest
from django.db import IntegrityError, transaction

from gdpr.scope import tenant_tx
from tenants.models import Member, Project, User
from tests.factories.tenants import make_project, make_tenant, make_user


@pytest.mark.django_db
def test_user_signs_in_by_email_in_any_case() -> None:
    user = User.objects.create_user(" Anna@Example.ORG ", "a long password")

    assert user.email == "anna@example.org"
    assert User.objects.get_by_natural_key("ANNA@example.org") == user
    assert user.check_password("a long password")
    assert not user.is_staff


@pytest.mark.django_db
def test_user_needs_lower_case_in_the_database_too() -> None:
    user = make_user()

    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(id=user.id).update(email="Upper@example.org")


@pytest.mark.django_db
def test_user_without_a_password_cannot_sign_in() -> None:
    assert not make_user().has_usable_password()


@pytest.mark.django_db
def test_slug_of_a_project_is_unique_within_its_tenant_only() -> None:
    mine, theirs = make_tenant(), make_tenant()
    make_project(mine, slug="same")
    make_project(theirs, slug="same")

    with pytest.raises(IntegrityError), tenant_tx(mine.id):
        Project.objects.create(tenant=mine, slug="same", name="x")


@pytest.mark.django_db
def test_member_is_seen_by_its_tenant_only() -> None:
    mine, theirs, user = make_tenant(), make_tenant(), make_user()
    for tenant in (mine, theirs):
        with tenant_tx(tenant.id):
            Member.objects.create(tenant=tenant, user=user, role="owner")

    with tenant_tx(mine.id):
        assert [member.tenant_id for member in Member._base_manager.all()] == [mine.id]
