from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_alerts"),
    ]

    operations = [
        migrations.AddField("tenant", "limits", models.JSONField(default=dict)),
        migrations.AddField("tenant", "subject_limits", models.JSONField(default=dict)),
        migrations.AddField("project", "limits", models.JSONField(default=dict)),
        migrations.AddField("apikey", "limits", models.JSONField(default=dict)),
    ]
