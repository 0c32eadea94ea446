from django.db import migrations, models


class Migration(migrations.Migration):
    """What was a region until now is remembered, and nobody vouches for it: `rbee hive attest`."""

    dependencies = [("inference", "0006_hive_erasures")]

    operations = [
        migrations.AddField("hive", "region_until", models.DateTimeField(null=True)),
        migrations.AddField("hive", "region_signature", models.BinaryField(default=bytes)),
    ]
