from django.db import migrations, models


class Migration(migrations.Migration):
    """Which root secret a key's MAC was made under. Empty, which those of before stay until they are used: the oldest."""

    dependencies = [("tenants", "0009_auditors")]

    operations = [
        migrations.AddField(
            "ApiKey",
            "mac_root",
            models.CharField(max_length=8, blank=True, default=""),
            preserve_default=False,
        ),
        migrations.AddField(
            "ApiKey",
            "old_mac_root",
            models.CharField(max_length=8, blank=True, default=""),
            preserve_default=False,
        ),
    ]
