from django.db import migrations, models


class Migration(migrations.Migration):
    """Which root secret the MAC of a hive's credential was made under. Empty: the oldest."""

    dependencies = [("inference", "0004_policy_reverted")]

    operations = [
        migrations.AddField(
            "Hive",
            "credential_root",
            models.CharField(max_length=8, blank=True, default=""),
            preserve_default=False,
        ),
    ]
