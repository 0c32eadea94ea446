import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0005_invoices"),
        ("tenants", "0007_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name="AutoRecharge",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                ("is_on", models.BooleanField(default=True)),
                ("threshold_micros", models.BigIntegerField()),
                ("amount_micros", models.BigIntegerField()),
                ("month_max_micros", models.BigIntegerField()),
                ("number", models.PositiveIntegerField(default=0)),
                ("is_charging", models.BooleanField(default=False)),
                ("paused_for", models.CharField(blank=True, max_length=50)),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="ConnectedAccount",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                ("account_id", models.CharField(max_length=100, unique=True)),
                ("fee_basis_points", models.PositiveIntegerField(null=True)),
                ("may_charge", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="StripeCursor",
            fields=[
                ("name", models.CharField(max_length=20, primary_key=True, serialize=False)),
                ("read_until", models.DateTimeField()),
                ("read_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="StripeMeter",
            fields=[
                ("event_name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("meter_id", models.CharField(max_length=100)),
                ("units", models.JSONField()),
                ("reported_until", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="StripePlan",
            fields=[
                (
                    "plan",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="tenants.plan",
                    ),
                ),
                ("price_id", models.CharField(max_length=100)),
            ],
        ),
        migrations.CreateModel(
            name="StripeCustomer",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                ("customer_id", models.CharField(max_length=100, unique=True)),
                ("payment_method_id", models.CharField(blank=True, max_length=100)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "seller",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StripeEvent",
            fields=[
                ("event_id", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("type", models.CharField(max_length=100)),
                ("object_id", models.CharField(max_length=100)),
                ("subject", models.CharField(max_length=100)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("received", "Received"),
                            ("applied", "Applied"),
                            ("ignored", "Ignored"),
                            ("failed", "Failed"),
                        ],
                        default="received",
                        max_length=10,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("lease_until", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField()),
                ("received_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "received")),
                        fields=["next_at"],
                        name="billing_stripeevent_due",
                    ),
                    models.Index(
                        condition=models.Q(("state", "received")),
                        fields=["subject"],
                        name="billing_stripeevent_sub",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StripeSubscription",
            fields=[
                ("subscription_id", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("status", models.CharField(max_length=30)),
                ("period_ends_at", models.DateTimeField(null=True)),
                ("ends_at_period", models.BooleanField(default=False)),
                ("past_due_since", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "plan",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, to="tenants.plan"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Reversal",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(choices=[("refund", "Refund"), ("dispute", "Dispute")], max_length=10),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Pending"), ("succeeded", "Succeeded"), ("failed", "Failed")],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("reference", models.CharField(max_length=100, null=True, unique=True)),
                ("amount_micros", models.BigIntegerField()),
                ("tax_micros", models.BigIntegerField(default=0)),
                ("lost_micros", models.BigIntegerField(default=0)),
                ("currency", models.CharField(max_length=3)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("is_closed", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "payment",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="billing.payment"),
                ),
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
                            ("amount_micros__gt", 0),
                            (
                                "amount_micros__gte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("tax_micros"), "+", models.F("lost_micros")
                                ),
                            ),
                            ("lost_micros__gte", 0),
                            ("tax_micros__gte", 0),
                        ),
                        name="billing_reversal_amounts",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="StripeRequest",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", models.CharField(max_length=200, unique=True)),
                ("operation", models.CharField(max_length=20)),
                ("body", models.JSONField()),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Pending"), ("sent", "Sent"), ("failed", "Failed")],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("first_sent_at", models.DateTimeField(null=True)),
                ("answer_id", models.CharField(blank=True, max_length=100)),
                ("error", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "pending")),
                        fields=["next_at"],
                        name="billing_striperequest_due",
                    )
                ],
            },
        ),
        schema.tenant_table("billing_stripecustomer", unique=False),
        schema.tenant_table("billing_connectedaccount", unique=False),
        schema.tenant_table("billing_stripesubscription", unique=False),
        schema.tenant_table("billing_striperequest"),
        schema.tenant_table("billing_reversal"),
        schema.tenant_table("billing_autorecharge", unique=False),
        schema.tenant_reference("billing_reversal", "payment_id", "billing_payment"),
        schema.colony_table("billing_stripeevent"),
        schema.colony_table("billing_stripecursor"),
        # Usage is told to meters by the minute of its settlement, which is also the order of the rows.
        migrations.RunSQL(
            "CREATE INDEX billing_usageevent_settled ON billing_usageevent USING brin (settled_at)",
            "DROP INDEX billing_usageevent_settled",
        ),
    ]
