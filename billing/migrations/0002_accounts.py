import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema

# For each tenant and currency of one INSERT once, in one order, so that two of them never wait for each other. Amounts of
# nothing change nothing: models that are free cost no update.
KEEP_BALANCES = """
    CREATE FUNCTION billing_keep_balances() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
    AS $$
    BEGIN
        INSERT INTO billing_balance (tenant_id, currency, balance_micros, reserved_micros, floor_micros)
        SELECT d.tenant_id, d.currency, 0, 0, CASE WHEN a.mode = 'prepaid' THEN 0 END
        FROM (SELECT DISTINCT tenant_id, currency FROM added WHERE amount_micros <> 0) d
        LEFT JOIN billing_billingaccount a USING (tenant_id)
        WHERE NOT EXISTS (
            SELECT 1 FROM billing_balance b WHERE b.tenant_id = d.tenant_id AND b.currency = d.currency)
        ORDER BY d.tenant_id, d.currency
        ON CONFLICT DO NOTHING;

        PERFORM 1 FROM billing_balance b
        WHERE (b.tenant_id, b.currency) IN (SELECT tenant_id, currency FROM added WHERE amount_micros <> 0)
        ORDER BY b.tenant_id, b.currency FOR UPDATE;

        UPDATE billing_balance b
        SET balance_micros = b.balance_micros + d.balance, reserved_micros = b.reserved_micros + d.reserved
        FROM (
            SELECT tenant_id, currency,
                   sum(amount_micros * ((credit_account = 'tenant:' || hex)::int - (debit_account = 'tenant:' || hex)::int))
                       AS balance,
                   sum(amount_micros * ((credit_account = 'reserved:' || hex)::int
                                        - (debit_account = 'reserved:' || hex)::int)) AS reserved
            FROM (SELECT *, replace(tenant_id::text, '-', '') AS hex FROM added WHERE amount_micros <> 0) a
            GROUP BY tenant_id, currency
        ) d
        WHERE b.tenant_id = d.tenant_id AND b.currency = d.currency AND (d.balance, d.reserved) <> (0, 0);
        RETURN NULL;
    END
    $$
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0001_foundations"),
        ("tenants", "0007_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name="BillingAccount",
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
                (
                    "mode",
                    models.CharField(
                        choices=[("prepaid", "Prepaid"), ("postpaid", "Postpaid")], max_length=10
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("past_due", "Past Due"),
                            ("restricted", "Restricted"),
                            ("suspended", "Suspended"),
                        ],
                        default="active",
                        max_length=12,
                    ),
                ),
                ("state_since", models.DateTimeField(default=django.utils.timezone.now)),
                ("currency", models.CharField(max_length=3)),
                ("credit_limit_micros", models.BigIntegerField(null=True)),
                ("legal_name", models.CharField(blank=True, max_length=200)),
                ("address", models.TextField(blank=True, max_length=500)),
                ("country", models.CharField(blank=True, max_length=2)),
                ("vat_id", models.CharField(blank=True, max_length=20)),
                ("vat_checked_at", models.DateTimeField(null=True)),
                ("email", models.EmailField(blank=True, max_length=254)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.AlterField(
            model_name="ledgertransfer",
            name="kind",
            field=models.TextField(
                choices=[
                    ("task", "Task"),
                    ("late_usage", "Late Usage"),
                    ("hold", "Hold"),
                    ("release", "Release"),
                    ("payment", "Payment"),
                    ("refund", "Refund"),
                    ("dispute", "Dispute"),
                    ("credit", "Credit"),
                    ("subscription", "Subscription"),
                    ("rating", "Rating"),
                    ("tax", "Tax"),
                    ("rounding", "Rounding"),
                    ("platform_fee", "Platform Fee"),
                    ("correction", "Correction"),
                ]
            ),
        ),
        migrations.CreateModel(
            name="Balance",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "currency", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("balance_micros", models.BigIntegerField(default=0)),
                ("reserved_micros", models.BigIntegerField(default=0)),
                ("floor_micros", models.BigIntegerField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("floor_micros", None),
                            ("balance_micros__gte", models.F("floor_micros")),
                            _connector="OR",
                        ),
                        name="billing_balance_floor",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reserved_micros__gte", 0)), name="billing_balance_reserved"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "method",
                    models.CharField(
                        choices=[("stripe", "Stripe"), ("bank", "Bank"), ("other", "Other")], max_length=10
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("refunded", "Refunded"),
                            ("disputed", "Disputed"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("amount_micros", models.BigIntegerField()),
                ("tax_micros", models.BigIntegerField(default=0)),
                ("refunded_micros", models.BigIntegerField(default=0)),
                ("currency", models.CharField(max_length=3)),
                ("reference", models.CharField(max_length=200)),
                ("note", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("paid_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(fields=("method", "reference"), name="billing_payment_reference"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount_micros__gt", 0),
                            ("refunded_micros__gte", 0),
                            ("refunded_micros__lte", models.F("amount_micros")),
                            ("tax_micros__gte", 0),
                            ("tax_micros__lt", models.F("amount_micros")),
                        ),
                        name="billing_payment_amounts",
                    ),
                ],
            },
        ),
        schema.tenant_table("billing_billingaccount", unique=False),
        schema.tenant_table("billing_balance", unique=False),
        schema.tenant_table("billing_payment"),
        migrations.RunSQL(
            [
                KEEP_BALANCES,
                """
                CREATE TRIGGER keep_balances AFTER INSERT ON billing_ledgertransfer REFERENCING NEW TABLE AS added
                FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_balances()
                """,
            ],
            [
                "DROP TRIGGER keep_balances ON billing_ledgertransfer",
                "DROP FUNCTION billing_keep_balances",
            ],
        ),
    ]
