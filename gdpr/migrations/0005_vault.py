import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema


class Migration(migrations.Migration):
    dependencies = [("gdpr", "0004_access")]

    operations = [
        migrations.CreateModel(
            name="SubjectKey",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("tenant_id", models.UUIDField(null=True)),
                ("subject", models.TextField()),
                ("wrapped", models.BinaryField()),
                ("wrapped_by", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("destroyed_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["wrapped_by", "id"], name="gdpr_subjectkey_wrapped_by"),
                    models.Index(fields=["subject"], name="gdpr_subjectkey_subject"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("destroyed_at", None)),
                        fields=("tenant_id", "subject"),
                        name="gdpr_subjectkey_living",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="VaultItem",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("tenant_id", models.UUIDField(null=True)),
                ("subject", models.TextField()),
                ("kind", models.CharField(max_length=16)),
                ("ciphertext", models.BinaryField()),
                ("salt", models.BinaryField()),
                ("ends_on", models.DateField()),
                (
                    "key",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="gdpr.subjectkey"),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["ends_on"], name="gdpr_vaultitem_ends_on")],
            },
        ),
        schema.tenant_table("gdpr_subjectkey"),
        schema.tenant_table("gdpr_vaultitem"),
        schema.tenant_reference("gdpr_vaultitem", "key_id", "gdpr_subjectkey"),
    ]
