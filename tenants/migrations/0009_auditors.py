from django.db import migrations, models

ROLES = [
    ("owner", "Owner"),
    ("admin", "Admin"),
    ("developer", "Developer"),
    ("billing", "Billing"),
    ("viewer", "Viewer"),
    ("dpo", "Dpo"),
    ("auditor", "Auditor"),
]


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_mail_claims")]

    operations = [
        migrations.AddField("member", "ends_at", models.DateTimeField(null=True)),
        migrations.AddField("invitation", "ends_at", models.DateTimeField(null=True)),
        migrations.AlterField(
            "member", "role", models.CharField(choices=ROLES, default="viewer", max_length=20)
        ),
        migrations.AlterField("invitation", "role", models.CharField(choices=ROLES, max_length=20)),
        migrations.AlterField(
            "identityprovider",
            "default_role",
            models.CharField(choices=ROLES, default="viewer", max_length=20),
        ),
        migrations.AddConstraint(
            "member",
            models.CheckConstraint(
                condition=models.Q(("ends_at__isnull", False), ("role", "auditor"))
                | models.Q(models.Q(("role", "auditor"), _negated=True), ("ends_at", None)),
                name="tenants_member_auditor_ends",
            ),
        ),
    ]
