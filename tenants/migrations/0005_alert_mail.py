from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_webhooks")]

    operations = [
        migrations.AddField(model_name="alert", name="mailed_at", field=models.DateTimeField(null=True)),
    ]
