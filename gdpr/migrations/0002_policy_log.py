from django.db import migrations


class Migration(migrations.Migration):
    """For the log of a policy, which must not read through a tenant's entries of tasks."""

    dependencies = [("gdpr", "0001_foundations")]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX gdpr_auditentry_policy ON gdpr_auditentry (tenant_id, id) WHERE event LIKE 'policy.%'",
            "DROP INDEX gdpr_auditentry_policy",
        ),
    ]
