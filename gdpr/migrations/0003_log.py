from django.db import migrations, models

from gdpr import schema


class Migration(migrations.Migration):
    dependencies = [("gdpr", "0002_policy_log")]

    operations = [
        migrations.CreateModel(
            name="AuditSequence",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("epoch", models.BigIntegerField()),
                ("size", models.BigIntegerField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.RunSQL(
            "ALTER TABLE gdpr_auditsequence ADD CONSTRAINT gdpr_auditsequence_one_row CHECK (id = 1 AND size >= 0)",
            "ALTER TABLE gdpr_auditsequence DROP CONSTRAINT gdpr_auditsequence_one_row",
        ),
        schema.NUMBERED_ONCE,
    ]
