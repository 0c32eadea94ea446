from importlib import import_module

from django.db import migrations, models

before = import_module("billing.migrations.0010_forget_subjects")

FORGET = before.FORGET.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace(
    "SET subject = '', receipt = '', signature = ''",
    "SET subject = '', receipt = '', signature = '', receipt_erased = (receipt <> '')",
)
GUARD = """
    CREATE OR REPLACE FUNCTION rbee_forget_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND current_setting('rbee.forgets', true) = 'subject'
            AND current_user = (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID)
            AND NEW.subject = '' AND NEW.receipt = '' AND NEW.signature = '' AND NEW.receipt_erased = (OLD.receipt <> '')
        THEN
            OLD.subject := '';
            OLD.receipt := '';
            OLD.signature := '';
            OLD.receipt_erased := NEW.receipt_erased;
            IF NEW IS NOT DISTINCT FROM OLD THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
    END
    $$
"""


class Migration(migrations.Migration):
    """An event says that its receipt went with its end user, so that the books account for it. One that had none does not."""

    dependencies = [("billing", "0010_forget_subjects")]

    operations = [
        migrations.AddField(
            "usageevent", "receipt_erased", models.BooleanField(default=False, db_default=False)
        ),
        migrations.RunSQL(
            [GUARD, FORGET],
            [
                before.GUARD.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"),
                before.FORGET.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"),
            ],
        ),
    ]
