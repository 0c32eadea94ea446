import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0002_accounts"),
    ]

    operations = [
        migrations.CreateModel(
            name="BudgetSlice",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("epoch", models.CharField(max_length=60)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("closing", "Closing"),
                            ("lost", "Lost"),
                            ("closed", "Closed"),
                        ],
                        default="open",
                        max_length=8,
                    ),
                ),
                ("granted_micros", models.BigIntegerField(default=0)),
                ("returned_micros", models.BigIntegerField(default=0)),
                ("settled_micros", models.BigIntegerField(default=0)),
                ("opened_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("lost_until", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "open")),
                        fields=("tenant", "currency"),
                        name="billing_budgetslice_open",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("granted_micros__gte", models.F("returned_micros") + models.F("settled_micros")),
                            ("returned_micros__gte", 0),
                            ("settled_micros__gte", 0),
                        ),
                        name="billing_budgetslice_amounts",
                    ),
                ],
            },
        ),
        schema.tenant_table("billing_budgetslice"),
    ]
