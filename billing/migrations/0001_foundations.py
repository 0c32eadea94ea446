import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema

USAGE_COLUMNS = """
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    key_id uuid,
    price_id uuid NOT NULL REFERENCES billing_price (id),
    attempt smallint NOT NULL,
    request_id text NOT NULL,
    subject text NOT NULL,
    endpoint text NOT NULL,
    model text NOT NULL,
    hive_id uuid,
    worker text NOT NULL,
    region text NOT NULL,
    outcome text NOT NULL,
    usage jsonb NOT NULL,
    amount_micros bigint NOT NULL CHECK (amount_micros >= 0),
    currency varchar(3) NOT NULL,
    decision jsonb NOT NULL,
    admitted_at timestamptz NOT NULL,
    began_at timestamptz,
    first_token_at timestamptz,
    ended_at timestamptz,
    settled_at timestamptz NOT NULL,
    receipt bytea NOT NULL,
    signature bytea NOT NULL
"""

LEDGER_COLUMNS = """
    transaction_id uuid NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenants_tenant (id),
    kind text NOT NULL,
    debit_account text NOT NULL,
    credit_account text NOT NULL CHECK (credit_account <> debit_account),
    amount_micros bigint NOT NULL CHECK (amount_micros >= 0),
    currency varchar(3) NOT NULL,
    booked_at timestamptz NOT NULL,
    CHECK (kind <> 'task' OR transaction_id = id)
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_foundations"),
    ]

    operations = [
        migrations.CreateModel(
            name="AttemptFence",
            fields=[
                ("task_id", models.UUIDField(primary_key=True, serialize=False)),
                ("lowest_valid_attempt", models.SmallIntegerField()),
                ("set_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                schema.monthly_table("billing_ledgertransfer", LEDGER_COLUMNS, id_column="id"),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="LedgerTransfer",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "month", "id", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("month", models.DateField()),
                        ("id", models.UUIDField(default=gdpr.ids.uuid7)),
                        ("transaction_id", models.UUIDField()),
                        ("kind", models.TextField(choices=[("task", "Task")])),
                        ("debit_account", models.TextField()),
                        ("credit_account", models.TextField()),
                        ("amount_micros", models.BigIntegerField()),
                        ("currency", models.CharField(max_length=3)),
                        ("booked_at", models.DateTimeField()),
                        (
                            "tenant",
                            models.ForeignKey(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                to="tenants.tenant",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-id"],
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name="PriceCard",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("slug", models.SlugField(unique=True)),
                ("name", models.CharField(max_length=100)),
                ("currency", models.CharField(max_length=3)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "plan",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, to="tenants.plan"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("model", models.CharField(max_length=200)),
                ("version", models.PositiveIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("prices", models.JSONField()),
                ("is_free", models.BooleanField(default=False)),
                ("valid_from", models.DateTimeField(default=django.utils.timezone.now)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "card",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="billing.pricecard"),
                ),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                schema.monthly_table("billing_usageevent", USAGE_COLUMNS, id_column="task_id"),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="UsageEvent",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "month",
                                "task_id",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("month", models.DateField()),
                        ("task_id", models.UUIDField()),
                        ("attempt", models.SmallIntegerField()),
                        ("request_id", models.TextField()),
                        ("subject", models.TextField()),
                        ("endpoint", models.TextField()),
                        ("model", models.TextField()),
                        ("hive_id", models.UUIDField(null=True)),
                        ("worker", models.TextField()),
                        ("region", models.TextField()),
                        ("outcome", models.TextField()),
                        ("usage", models.JSONField()),
                        ("amount_micros", models.BigIntegerField()),
                        ("currency", models.CharField(max_length=3)),
                        ("decision", models.JSONField()),
                        ("admitted_at", models.DateTimeField()),
                        ("began_at", models.DateTimeField(null=True)),
                        ("first_token_at", models.DateTimeField(null=True)),
                        ("ended_at", models.DateTimeField(null=True)),
                        ("settled_at", models.DateTimeField()),
                        ("receipt", models.BinaryField()),
                        ("signature", models.BinaryField()),
                        (
                            "key",
                            models.ForeignKey(
                                db_constraint=False,
                                null=True,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                to="tenants.apikey",
                            ),
                        ),
                        (
                            "price",
                            models.ForeignKey(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                to="billing.price",
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                to="tenants.project",
                            ),
                        ),
                        (
                            "tenant",
                            models.ForeignKey(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                to="tenants.tenant",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-task_id"],
                    },
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="pricecard",
            constraint=models.UniqueConstraint(
                fields=("plan",), name="billing_pricecard_plan", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.UniqueConstraint(
                fields=("card", "model", "version"), name="billing_price_version"
            ),
        ),
        schema.tenant_table("billing_attemptfence", unique=False),
        schema.tenant_table("billing_usageevent", unique=False),
        schema.tenant_table("billing_ledgertransfer", unique=False),
        schema.tenant_reference("billing_usageevent", "project_id", "tenants_project"),
        schema.tenant_reference("billing_usageevent", "key_id", "tenants_apikey"),
        schema.append_only("billing_price"),
        schema.append_only("billing_usageevent"),
        schema.append_only("billing_ledgertransfer"),
        migrations.RunSQL(
            [
                "CREATE INDEX billing_usageevent_tenant ON billing_usageevent (tenant_id, task_id)",
                "CREATE INDEX billing_ledgertransfer_tenant ON billing_ledgertransfer (tenant_id, id)",
            ],
            ["DROP INDEX billing_ledgertransfer_tenant", "DROP INDEX billing_usageevent_tenant"],
        ),
    ]
