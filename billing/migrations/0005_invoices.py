import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema

# What is on an invoice stays as it was issued; how it is paid and sent is told beside it.
KEEP_INVOICE = """
    CREATE FUNCTION billing_keep_invoice() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
    AS $$
    DECLARE
        told text[] := ARRAY['status', 'credited_minor', 'paid_micros', 'paid_at', 'mailed_at', 'mail_after'];
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF to_jsonb(OLD) - told = to_jsonb(NEW) - told THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION 'an invoice is kept as it was issued: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
    END
    $$
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0004_price_terms"),
        ("tenants", "0007_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name="NumberSeries",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("last_number", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.AddField(
            model_name="billingaccount",
            name="invoice_threshold_micros",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="billingaccount",
            name="vat_is_valid",
            field=models.BooleanField(null=True),
        ),
        migrations.CreateModel(
            name="Invoice",
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
                            ("invoice", "Invoice"),
                            ("credit_note", "Credit Note"),
                            ("receipt", "Receipt"),
                            ("statement", "Statement"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("open", "Open"),
                            ("paid", "Paid"),
                            ("void", "Void"),
                            ("uncollectible", "Uncollectible"),
                        ],
                        max_length=13,
                    ),
                ),
                ("series", models.CharField(max_length=40)),
                ("sequence", models.PositiveIntegerField()),
                ("number", models.CharField(max_length=50, unique=True)),
                ("currency", models.CharField(max_length=3)),
                ("first_day", models.DateField(null=True)),
                ("next_day", models.DateField(null=True)),
                ("is_final", models.BooleanField(default=False)),
                ("seller", models.JSONField()),
                ("buyer", models.JSONField()),
                ("net_minor", models.BigIntegerField()),
                ("tax_minor", models.BigIntegerField()),
                ("gross_minor", models.BigIntegerField()),
                ("asked_micros", models.BigIntegerField()),
                ("rating_micros", models.BigIntegerField(default=0)),
                ("rounding_micros", models.BigIntegerField(default=0)),
                (
                    "tax_category",
                    models.CharField(
                        choices=[
                            ("standard", "Standard"),
                            ("reverse_charge", "Reverse Charge"),
                            ("outside", "Outside"),
                            ("exempt", "Exempt"),
                            ("none", "None"),
                        ],
                        max_length=14,
                    ),
                ),
                ("tax_rate_bp", models.PositiveIntegerField()),
                ("tax_country", models.CharField(blank=True, max_length=2)),
                ("tax_note", models.TextField(blank=True)),
                ("covers", models.JSONField(default=list)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("issued_at", models.DateTimeField()),
                ("due_at", models.DateTimeField(null=True)),
                ("credited_minor", models.BigIntegerField(default=0)),
                ("paid_micros", models.BigIntegerField(default=0)),
                ("paid_at", models.DateTimeField(null=True)),
                ("mailed_at", models.DateTimeField(null=True)),
                ("mail_after", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "credits",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="billing.invoice",
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="billing.payment",
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
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="InvoiceLine",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("position", models.PositiveIntegerField()),
                ("kind", models.CharField(max_length=20)),
                ("month", models.DateField(null=True)),
                ("project_id", models.UUIDField(null=True)),
                ("description", models.TextField()),
                ("model", models.TextField(blank=True)),
                ("unit", models.TextField(blank=True)),
                ("quantity", models.BigIntegerField(default=0)),
                ("price_micros", models.BigIntegerField(default=0)),
                ("per", models.PositiveIntegerField(default=1)),
                ("amount_picos", models.DecimalField(decimal_places=0, max_digits=38)),
                ("amount_minor", models.BigIntegerField()),
                (
                    "invoice",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="lines",
                        to="billing.invoice",
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
                "ordering": ["position"],
            },
        ),
        migrations.CreateModel(
            name="Seller",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("legal_name", models.CharField(blank=True, max_length=200)),
                ("address", models.TextField(blank=True, max_length=500)),
                ("country", models.CharField(blank=True, max_length=2)),
                ("vat_id", models.CharField(blank=True, max_length=20)),
                ("registration_number", models.CharField(blank=True, max_length=100)),
                ("iban", models.CharField(blank=True, max_length=34)),
                ("bic", models.CharField(blank=True, max_length=11)),
                ("email", models.EmailField(blank=True, max_length=254)),
                ("series_prefix", models.CharField(default="INV", max_length=10)),
                ("payment_term_days", models.PositiveSmallIntegerField(default=14)),
                ("tax_rates", models.JSONField(default=dict)),
                ("charges_oss", models.BooleanField(default=False)),
                ("exemption", models.CharField(blank=True, max_length=200)),
                ("checks_vat_ids", models.BooleanField(default=False)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="billing_seller_one")
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                fields=("series", "sequence"), name="billing_invoice_sequence"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_final", True), models.Q(("status", "void"), _negated=True)),
                fields=("tenant", "currency", "first_day"),
                name="billing_invoice_period",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "receipt")), fields=("payment",), name="billing_invoice_receipt"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "gross_minor",
                        django.db.models.expressions.CombinedExpression(
                            models.F("net_minor"), "+", models.F("tax_minor")
                        ),
                    )
                ),
                name="billing_invoice_gross",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(
                fields=("invoice", "position"), name="billing_invoiceline_position"
            ),
        ),
        schema.tenant_table("billing_invoice"),
        schema.tenant_table("billing_invoiceline"),
        schema.tenant_reference("billing_invoice", "credits_id", "billing_invoice"),
        schema.tenant_reference("billing_invoice", "payment_id", "billing_payment"),
        schema.tenant_reference("billing_invoiceline", "invoice_id", "billing_invoice"),
        schema.append_only("billing_invoiceline"),
        migrations.RunSQL(
            [
                KEEP_INVOICE,
                """
                CREATE TRIGGER keep_invoice BEFORE UPDATE OR DELETE ON billing_invoice
                FOR EACH ROW EXECUTE FUNCTION billing_keep_invoice()
                """,
                """
                CREATE TRIGGER keep_invoices BEFORE TRUNCATE ON billing_invoice
                FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_invoice()
                """,
            ],
            [
                "DROP TRIGGER keep_invoices ON billing_invoice",
                "DROP TRIGGER keep_invoice ON billing_invoice",
                "DROP FUNCTION billing_keep_invoice",
            ],
        ),
    ]
