from django.db import migrations, models

import gdpr.ids
from gdpr import schema

AUDIT_COLUMNS = """
    tenant_id uuid,
    event text NOT NULL,
    actor text NOT NULL,
    object_ref text NOT NULL,
    outcome text NOT NULL,
    details jsonb NOT NULL,
    request_id text NOT NULL,
    at timestamptz NOT NULL,
    schema_version smallint NOT NULL,
    leaf bytea NOT NULL CHECK (length(leaf) = 32),
    seq bigint
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        schema.FUNCTIONS,
        migrations.SeparateDatabaseAndState(
            database_operations=[
                schema.monthly_table("gdpr_auditentry", AUDIT_COLUMNS, id_column="id"),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="AuditEntry",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "month", "id", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("month", models.DateField()),
                        ("id", models.UUIDField(default=gdpr.ids.uuid7)),
                        ("tenant_id", models.UUIDField(null=True)),
                        ("event", models.TextField()),
                        ("actor", models.TextField()),
                        ("object_ref", models.TextField(default="")),
                        ("outcome", models.TextField(default="ok")),
                        ("details", models.JSONField(default=dict)),
                        ("request_id", models.TextField(default="")),
                        ("at", models.DateTimeField()),
                        ("schema_version", models.SmallIntegerField(default=1)),
                        ("leaf", models.BinaryField()),
                        ("seq", models.BigIntegerField(null=True)),
                    ],
                    options={
                        "ordering": ["-id"],
                    },
                ),
            ],
        ),
        schema.tenant_table("gdpr_auditentry", unique=False),
        schema.append_only("gdpr_auditentry"),
        migrations.RunSQL(
            "CREATE INDEX gdpr_auditentry_tenant ON gdpr_auditentry (tenant_id, id)",
            "DROP INDEX gdpr_auditentry_tenant",
        ),
    ]
