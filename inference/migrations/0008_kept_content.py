import django.db.models.deletion
from django.db import migrations, models

from gdpr import schema


class Migration(migrations.Migration):
    dependencies = [
        ("inference", "0007_attestations"),
        ("tenants", "0013_content_days"),
        ("gdpr", "0008_consents"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeptContent",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("subject", models.CharField(blank=True, max_length=64)),
                ("request_id", models.CharField(max_length=64)),
                ("endpoint", models.CharField(max_length=32)),
                ("model", models.CharField(max_length=128)),
                ("at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("request_bytes", models.PositiveIntegerField()),
                ("answer_bytes", models.PositiveIntegerField()),
                ("is_truncated", models.BooleanField()),
                ("ciphertext", models.BinaryField()),
                (
                    "key",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="gdpr.subjectkey"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["expires_at"], name="inference_kept_expires"),
                    models.Index(fields=["at"], name="inference_kept_at"),
                    models.Index(fields=["tenant", "subject", "-id"], name="inference_kept_subject"),
                ],
            },
        ),
        schema.tenant_table("inference_keptcontent"),
        schema.tenant_reference("inference_keptcontent", "key_id", "gdpr_subjectkey"),
    ]
