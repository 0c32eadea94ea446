import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema

# Runs as its owner, who may drop tables; the term keeps a caller from dropping what the law still asks for.
DROP = """
    CREATE FUNCTION rbee_drop_audit_month(old date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET lock_timeout = '5s'
    AS $$
    DECLARE
        first_kept date := (date_trunc('year', now() AT TIME ZONE 'UTC') - interval '7 years')::date;
        child text := 'gdpr_auditentry' || to_char(old, '_YYYY_MM');
    BEGIN
        IF old >= first_kept OR old <> date_trunc('month', old)::date THEN
            RAISE EXCEPTION 'months of the audit log are kept from % on, so not % is dropped', first_kept, old
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF to_regclass(format('public.%I', child)) IS NULL THEN
            RETURN false;
        END IF;
        EXECUTE format('DROP TABLE public.%I', child);
        RETURN true;
    END
    $$
"""


class Migration(migrations.Migration):
    dependencies = [("gdpr", "0003_log")]

    operations = [
        migrations.CreateModel(
            name="LogForward",
            fields=[
                ("receiver", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("next_seq", models.BigIntegerField(default=0)),
                ("forwarded_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="ArchivedMonth",
            fields=[
                ("month", models.DateField(primary_key=True, serialize=False)),
                ("entries", models.PositiveBigIntegerField()),
                ("first_seq", models.BigIntegerField(null=True)),
                ("last_seq", models.BigIntegerField(null=True)),
                ("manifest_sha256", models.BinaryField(max_length=32)),
                ("archived_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("dropped_at", models.DateTimeField(null=True)),
                ("minimum_index", models.BigIntegerField(null=True)),
            ],
            options={"ordering": ["-month"]},
        ),
        migrations.CreateModel(
            name="Breach",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("title", models.CharField(max_length=200)),
                ("aware_at", models.DateTimeField()),
                ("window_begins_at", models.DateTimeField()),
                ("window_ends_at", models.DateTimeField()),
                ("opened_by", models.TextField()),
                ("opened_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("closed_at", models.DateTimeField(null=True)),
                ("notified_at", models.DateTimeField(null=True)),
                ("conclusion", models.TextField(blank=True)),
            ],
            options={"ordering": ["-id"]},
        ),
        migrations.CreateModel(
            name="BreachFact",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("actor", models.TextField()),
                ("text", models.TextField(blank=True)),
                ("data", models.JSONField(default=dict)),
                (
                    "breach",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="gdpr.breach"),
                ),
            ],
            options={"ordering": ["id"]},
        ),
        *(
            schema.colony_table(f"gdpr_{table}")
            for table in ("logforward", "archivedmonth", "breach", "breachfact")
        ),
        schema.append_only("gdpr_breachfact"),
        migrations.RunSQL(
            [DROP, "REVOKE ALL ON FUNCTION rbee_drop_audit_month FROM PUBLIC"],
            "DROP FUNCTION rbee_drop_audit_month",
        ),
        # For those who look through the entries of all tenants.
        migrations.RunSQL(
            "CREATE INDEX gdpr_auditentry_id ON gdpr_auditentry (id)", "DROP INDEX gdpr_auditentry_id"
        ),
    ]
