import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema


class Migration(migrations.Migration):
    dependencies = [("gdpr", "0005_vault")]

    operations = [
        migrations.CreateModel(
            name="SubProcessor",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("purpose", models.CharField(max_length=500)),
                ("country", models.CharField(max_length=2)),
                ("categories", models.CharField(max_length=500)),
                ("url", models.CharField(blank=True, max_length=500)),
                ("announced_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("in_force_at", models.DateTimeField()),
                ("ending_announced_at", models.DateTimeField(null=True)),
                ("ends_at", models.DateTimeField(null=True)),
            ],
            options={"ordering": ["-id"]},
        ),
        migrations.CreateModel(
            name="SubProcessorObjection",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=gdpr.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("tenant_id", models.UUIDField()),
                ("reason", models.CharField(max_length=1000)),
                ("made_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "sub_processor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="objections",
                        to="gdpr.subprocessor",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["tenant_id", "sub_processor"], name="gdpr_subprocessorobjection_one"
                    )
                ],
            },
        ),
        schema.tenant_table("gdpr_subprocessorobjection"),
    ]
