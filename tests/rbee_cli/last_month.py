"""Has a tenant of a running colony, the terms of its plan and one task be a month old.

python -m tests.rbee_cli.last_month TENANT PROMPT_TOKENS
"""

from __future__ import annotations

import sys
from datetime import timedelta

import django


def main() -> None:
    django.setup()
    from billing.domain.price_terms import read_terms
    from billing.models import Price, PriceTerms
    from gdpr.scope import colony_tx
    from tenants.models import Project, Tenant
    from tests.factories.billing import last_month, make_terms, make_usage

    slug, tokens = sys.argv[1:]
    with colony_tx("tests"):
        tenant = Tenant.objects.get(slug=slug)
        Tenant.objects.filter(id=tenant.id).update(created_at=tenant.created_at - timedelta(days=100))
        project = Project.objects.filter(tenant=tenant).get()
        price = Price.objects.get(card__plan=tenant.plan_id)
        terms = PriceTerms.objects.get(card__plan=tenant.plan_id)
    make_terms(tenant, read_terms(terms), last_month())
    make_usage(project, price, {"prompt_tokens": int(tokens)})


if __name__ == "__main__":
    main()
