from django.db import migrations, models


class Migration(migrations.Migration):
    """Tenants read frozen end users from `gdpr`: its table has to be there."""

    dependencies = [("tenants", "0012_consents"), ("gdpr", "0007_data_requests")]

    operations = [
        migrations.AddField("tenant", "content_days", models.PositiveSmallIntegerField(default=0)),
    ]
