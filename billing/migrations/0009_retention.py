from django.db import migrations

# Ten calendar years: no caller can shorten them.
BOUND = "make_timestamptz(extract(year FROM now() AT TIME ZONE 'UTC')::int - 10, 1, 1, 0, 0, 0, 'UTC')"

DROP_USAGE = f"""
    CREATE FUNCTION rbee_drop_usage_month(which date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '5s'
    AS $$
    DECLARE
        child text := 'billing_usageevent' || to_char(date_trunc('month', which), '_YYYY_MM');
    BEGIN
        IF which >= {BOUND} THEN
            RAISE EXCEPTION 'usage of % is kept for ten calendar years', which USING ERRCODE = 'datetime_field_overflow';
        END IF;
        IF to_regclass('public.' || child) IS NULL THEN
            RETURN false;
        END IF;
        EXECUTE format('DROP TABLE public.%I', child);
        RETURN true;
    END
    $$
"""
KEEP_INVOICE = f"""
    CREATE OR REPLACE FUNCTION billing_keep_invoice() RETURNS trigger
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
        IF TG_OP = 'DELETE' THEN
            IF OLD.issued_at < {BOUND} THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'an invoice is kept as it was issued: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
    END
    $$
"""
# Deeper than 1: by the foreign key of an invoice that may go, and by nobody's own statement.
KEEP_LINE = """
    CREATE FUNCTION billing_keep_invoice_line() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
    AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND pg_trigger_depth() > 1 THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
    END
    $$
"""
_LINES = (
    "ALTER TABLE billing_invoiceline ADD CONSTRAINT billing_invoiceline_invoice_id_same_tenant FOREIGN KEY"
)
_REFERENCE = f"{_LINES} (tenant_id, invoice_id) REFERENCES billing_invoice (tenant_id, id)"
_DROP = "ALTER TABLE billing_invoiceline DROP CONSTRAINT billing_invoiceline_invoice_id_same_tenant"


def _rows_kept_by(function: str) -> list[str]:
    return [
        "DROP TRIGGER append_only_rows ON billing_invoiceline",
        (
            "CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON billing_invoiceline"
            f" FOR EACH ROW EXECUTE FUNCTION {function}()"
        ),
    ]


class Migration(migrations.Migration):
    """What ends when its term is over: usage by whole months, invoices with their lines."""

    dependencies = [("billing", "0008_payment_tax_country")]

    operations = [
        migrations.RunSQL(
            [DROP_USAGE, "REVOKE ALL ON FUNCTION rbee_drop_usage_month FROM PUBLIC"],
            "DROP FUNCTION rbee_drop_usage_month",
        ),
        migrations.RunSQL(KEEP_INVOICE, migrations.RunSQL.noop),
        migrations.RunSQL(
            [
                KEEP_LINE,
                *_rows_kept_by("billing_keep_invoice_line"),
                _DROP,
                f"{_REFERENCE} ON DELETE CASCADE",
            ],
            [
                _DROP,
                _REFERENCE,
                *_rows_kept_by("rbee_refuse_change"),
                "DROP FUNCTION billing_keep_invoice_line",
            ],
        ),
    ]
