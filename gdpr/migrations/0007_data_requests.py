import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema

# CLUSTER, since VACUUM FULL cannot run inside of a function. Who waits for the table waits for two seconds at most.
REWRITE = """
    CREATE FUNCTION rbee_rewrite_table(name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET lock_timeout = '2s'
    AS $$
    DECLARE
        its_key text;
    BEGIN
        SELECT i.indexrelid::regclass::text INTO its_key
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE c.relname = name AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND i.indisprimary
            AND pg_table_size(c.oid) <= 256 * 1024 * 1024;
        IF its_key IS NULL THEN
            RETURN false;
        END IF;
        EXECUTE format('CLUSTER public.%I USING %s', name, its_key);
        EXECUTE format('ANALYZE public.%I', name);
        RETURN true;
    EXCEPTION WHEN lock_not_available OR object_in_use THEN
        RETURN false;
    END
    $$
"""


class Migration(migrations.Migration):
    dependencies = [
        ("gdpr", "0006_sub_processors"),
    ]

    operations = [
        migrations.CreateModel(
            name="DataRequest",
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
                        choices=[("export", "Export"), ("erasure", "Erasure"), ("import", "Import")],
                        max_length=8,
                    ),
                ),
                (
                    "whose",
                    models.CharField(
                        choices=[("person", "person"), ("tenant", "tenant"), ("subject", "subject")],
                        max_length=8,
                    ),
                ),
                ("tenant_id", models.UUIDField(null=True)),
                ("person_id", models.UUIDField(null=True)),
                ("subject", models.CharField(blank=True, max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("ready", "Ready"),
                            ("expired", "Expired"),
                            ("grace", "Grace"),
                            ("frozen", "Frozen"),
                            ("erasing", "Erasing"),
                            ("verifying", "Verifying"),
                            ("erased", "Erased"),
                            ("cancelled", "Cancelled"),
                            ("failed", "Failed"),
                        ],
                        max_length=10,
                    ),
                ),
                ("step", models.CharField(blank=True, max_length=40)),
                ("format", models.CharField(blank=True, max_length=4)),
                ("progress", models.JSONField(default=dict)),
                ("result", models.JSONField(default=dict)),
                ("needles_sealed", models.BinaryField(default=bytes)),
                ("requested_by", models.TextField()),
                ("requested_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("grace_until", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("next_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("fence", models.PositiveIntegerField(default=0)),
                ("lease_until", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(
                            ("state__in", ("queued", "grace", "running", "frozen", "erasing", "verifying"))
                        ),
                        fields=["next_at"],
                        name="gdpr_datarequest_due",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("kind", "erasure"),
                            (
                                "state__in",
                                ["queued", "grace", "running", "frozen", "erasing", "verifying", "failed"],
                            ),
                        ),
                        fields=("whose", "tenant_id", "person_id", "subject"),
                        name="gdpr_datarequest_erasure",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        schema.tenant_table("gdpr_datarequest"),
        migrations.RunSQL(
            [REWRITE, "REVOKE ALL ON FUNCTION rbee_rewrite_table FROM PUBLIC"],
            "DROP FUNCTION rbee_rewrite_table",
        ),
    ]
