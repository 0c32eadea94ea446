import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import gdpr.ids
from gdpr import schema


class Migration(migrations.Migration):
    dependencies = [
        ("inference", "0005_credential_root"),
    ]

    operations = [
        migrations.CreateModel(
            name="HiveErasure",
            fields=[
                ("id", models.UUIDField(default=gdpr.ids.uuid7, primary_key=True, serialize=False)),
                ("request_id", models.UUIDField()),
                ("whose", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("done_at", models.DateTimeField(null=True)),
                ("hive", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="inference.hive")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("hive", "request_id"), name="inference_hiveerasure_once")
                ],
            },
        ),
        schema.colony_table("inference_hiveerasure"),
    ]
