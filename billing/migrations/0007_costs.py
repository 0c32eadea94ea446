import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0006_stripe"),
    ]

    operations = [
        migrations.CreateModel(
            name="ListPrice",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("provider", models.CharField(max_length=100)),
                ("offer", models.CharField(max_length=200)),
                ("model", models.CharField(max_length=128)),
                ("unit", models.CharField(max_length=64)),
                ("micros_per_million", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("source", models.CharField(max_length=500)),
                ("seen_on", models.DateField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="ReceiptKey",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hive_id", models.UUIDField(db_index=True)),
                ("public_key", models.CharField(max_length=64)),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="GpuCost",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hive_id", models.UUIDField(null=True)),
                ("gpu", models.PositiveSmallIntegerField(null=True)),
                ("version", models.PositiveIntegerField()),
                ("valid_from", models.DateTimeField()),
                ("currency", models.CharField(max_length=3)),
                ("kwh_micros", models.BigIntegerField()),
                ("tariff", models.JSONField(default=list)),
                ("busy_w", models.PositiveIntegerField()),
                ("idle_w", models.PositiveIntegerField()),
                ("price_micros", models.BigIntegerField()),
                ("residual_micros", models.BigIntegerField()),
                ("months", models.PositiveIntegerField()),
                ("bought_on", models.DateField()),
                ("hosting_micros", models.BigIntegerField()),
                ("note", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hive_id", "gpu", "version"),
                        name="billing_gpucost_version",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="GpuHour",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "hive_id",
                        "gpu",
                        "hour",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("hive_id", models.UUIDField()),
                ("gpu", models.PositiveSmallIntegerField()),
                ("hour", models.DateTimeField()),
                ("minutes", models.BigIntegerField()),
                ("workers", models.JSONField()),
            ],
            options={
                "indexes": [models.Index(fields=["hour"], name="billing_gpuhour_hour")],
            },
        ),
        migrations.CreateModel(
            name="Reconciliation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("day", models.DateField()),
                ("began_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField()),
                ("differences", models.PositiveBigIntegerField()),
                ("figures", models.JSONField()),
                ("waiting", models.JSONField()),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["day", "-id"], name="billing_reconciliation_day")],
            },
        ),
        migrations.CreateModel(
            name="Difference",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("receipt_missing", "Receipt Missing"),
                            ("receipt_signature", "Receipt Signature"),
                            ("receipt_facts", "Receipt Facts"),
                            ("envelope", "Envelope"),
                            ("price_unknown", "Price Unknown"),
                            ("event_amount", "Event Amount"),
                            ("transfer_missing", "Transfer Missing"),
                            ("transfer_twice", "Transfer Twice"),
                            ("transfer_amount", "Transfer Amount"),
                            ("transfer_accounts", "Transfer Accounts"),
                            ("event_missing", "Event Missing"),
                            ("balance", "Balance"),
                            ("reserved", "Reserved"),
                            ("payment", "Payment"),
                        ],
                        max_length=30,
                    ),
                ),
                ("tenant_id", models.UUIDField(null=True)),
                ("task_id", models.UUIDField(null=True)),
                ("object_ref", models.TextField()),
                ("expected", models.TextField()),
                ("found", models.TextField()),
                (
                    "reconciliation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, to="billing.reconciliation"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        schema.append_only("billing_reconciliation"),
        schema.append_only("billing_difference"),
        schema.append_only("billing_receiptkey"),
        schema.append_only("billing_gpucost"),
        schema.append_only("billing_listprice"),
        schema.colony_table("billing_difference"),
        # What was booked on a day lies together, in whatever month its tasks are: a few kilobytes find it.
        migrations.RunSQL(
            "CREATE INDEX billing_ledgertransfer_booked ON billing_ledgertransfer USING brin (booked_at)",
            "DROP INDEX billing_ledgertransfer_booked",
        ),
    ]
