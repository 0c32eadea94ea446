import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    """Tenants read consents from `gdpr`: its table has to be there."""

    dependencies = [("tenants", "0011_gdpr_scope"), ("gdpr", "0008_consents")]

    operations = [
        migrations.AddField(
            "plan",
            "required_consents",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=64), default=list, size=None
            ),
        ),
        migrations.AddField(
            "tenant",
            "required_consents",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=64), null=True, size=None
            ),
        ),
        migrations.AddField(
            "tenant",
            "subject_consents",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=64), default=list, size=None
            ),
        ),
        migrations.RemoveField("tenant", "gdpr_consent_at"),
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
