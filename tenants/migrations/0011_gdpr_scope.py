import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0010_key_roots"),
    ]

    operations = [
        migrations.AlterField(
            model_name="apikey",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("inference", "Inference"),
                        ("manage", "Manage"),
                        ("read", "Read"),
                        ("gdpr", "Gdpr"),
                    ],
                    max_length=20,
                ),
                size=None,
            ),
        ),
    ]
