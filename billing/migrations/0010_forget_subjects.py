from django.db import migrations

# Runs as its owner, the only one whom the table's trigger lets change it, and only while this runs.
FORGET = """
    CREATE FUNCTION rbee_forget_subject(of_tenant uuid, pseudonym text, asked_before timestamptz, at_most int) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    DECLARE
        changed int;
    BEGIN
        IF pseudonym = '' OR of_tenant::text IS DISTINCT FROM current_setting('app.tenant', true) THEN
            RAISE EXCEPTION 'one end user of the tenant whose transaction this is' USING ERRCODE = 'insufficient_privilege';
        END IF;
        PERFORM set_config('rbee.forgets', 'subject', true);
        UPDATE billing_usageevent SET subject = '', receipt = '', signature = ''
        WHERE (month, task_id) IN (
            SELECT month, task_id FROM billing_usageevent
            WHERE tenant_id = of_tenant AND subject = pseudonym AND admitted_at < asked_before LIMIT at_most);
        GET DIAGNOSTICS changed = ROW_COUNT;
        PERFORM set_config('rbee.forgets', '', true);
        RETURN changed;
    END
    $$
"""
GUARD = """
    CREATE FUNCTION rbee_forget_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND current_setting('rbee.forgets', true) = 'subject'
            AND current_user = (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID)
            AND NEW.subject = '' AND NEW.receipt = '' AND NEW.signature = ''
        THEN
            OLD.subject := '';
            OLD.receipt := '';
            OLD.signature := '';
            IF NEW IS NOT DISTINCT FROM OLD THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
    END
    $$
"""


TRIGGER = "CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON billing_usageevent FOR EACH ROW EXECUTE FUNCTION {}()"
INDEX = (
    "CREATE INDEX billing_usageevent_subject ON billing_usageevent (tenant_id, subject) WHERE subject <> ''"
)


class Migration(migrations.Migration):
    """An end user is forgotten by the books, which keep what was used and charged."""

    dependencies = [("billing", "0009_retention"), ("gdpr", "0007_data_requests")]

    operations = [
        migrations.RunSQL(
            [
                GUARD,
                "DROP TRIGGER append_only_rows ON billing_usageevent",
                TRIGGER.format("rbee_forget_only"),
                FORGET,
                "REVOKE ALL ON FUNCTION rbee_forget_subject FROM PUBLIC",
                INDEX,
            ],
            [
                "DROP INDEX billing_usageevent_subject",
                "DROP FUNCTION rbee_forget_subject",
                "DROP TRIGGER append_only_rows ON billing_usageevent",
                TRIGGER.format("rbee_refuse_change"),
                "DROP FUNCTION rbee_forget_only",
            ],
        ),
    ]
