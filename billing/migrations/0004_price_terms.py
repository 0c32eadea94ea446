import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0003_slices"),
        ("tenants", "0007_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name="PriceWithdrawal",
            fields=[
                ("version_id", models.UUIDField(primary_key=True, serialize=False)),
                ("withdrawn_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="PriceTerms",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("version", models.PositiveIntegerField()),
                ("terms", models.JSONField()),
                ("valid_from", models.DateField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "card",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="billing.pricecard"),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("card", "version"), name="billing_priceterms_version")
                ],
            },
        ),
        migrations.CreateModel(
            name="TenantDiscount",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("discount_bp", models.PositiveIntegerField(null=True)),
                ("reason", models.CharField(max_length=200)),
                ("valid_from", models.DateField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "tenant",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("discount_bp", None), ("discount_bp__lte", 10000), _connector="OR"
                        ),
                        name="billing_tenantdiscount_bp",
                    )
                ],
            },
        ),
        schema.tenant_table("billing_tenantdiscount"),
        schema.append_only("billing_tenantdiscount"),
        schema.append_only("billing_priceterms"),
        schema.append_only("billing_pricewithdrawal"),
    ]
