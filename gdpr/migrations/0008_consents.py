import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema


class Migration(migrations.Migration):
    dependencies = [("gdpr", "0007_data_requests")]

    operations = [
        migrations.CreateModel(
            name="ConsentText",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("tenant_id", models.UUIDField(null=True)),
                ("purpose", models.CharField(max_length=64)),
                ("locale", models.CharField(max_length=35)),
                ("number", models.PositiveIntegerField()),
                ("sha256", models.CharField(max_length=64)),
                ("text", models.TextField()),
                ("added_by", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant_id", "purpose", "locale", "number"),
                        name="gdpr_consenttext_number",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Consent",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("tenant_id", models.UUIDField()),
                ("subject", models.CharField(blank=True, max_length=32)),
                ("purpose", models.CharField(max_length=64)),
                ("number", models.PositiveIntegerField()),
                ("is_given", models.BooleanField()),
                ("text_sha256", models.CharField(max_length=64)),
                ("locale", models.CharField(max_length=35)),
                ("actor", models.TextField()),
                ("request_id", models.TextField(blank=True)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant_id", "subject", "purpose", "number"), name="gdpr_consent_number"
                    )
                ],
                "indexes": [models.Index(fields=["at"], name="gdpr_consent_at")],
            },
        ),
        schema.tenant_table("gdpr_consenttext"),
        schema.tenant_table("gdpr_consent"),
        schema.append_only("gdpr_consenttext"),
        schema.append_only("gdpr_consent"),
    ]
