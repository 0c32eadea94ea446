from django.db import migrations

RETENTION = """
    CREATE FUNCTION rbee_drop_decisions(before date) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET lock_timeout = '5s'
    AS $$
    DECLARE
        this_month date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
        child record;
        dropped int := 0;
    BEGIN
        -- The month before this one is among those that rbee_make_partitions makes.
        IF before > this_month - interval '1 month' THEN
            RAISE EXCEPTION 'decisions of the last two months go row by row, not before %', before
                USING ERRCODE = 'datetime_field_overflow';
        END IF;
        FOR child IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'inference_decision'::regclass
              AND c.relname < 'inference_decision' || to_char(before, '_YYYY_MM')
        LOOP
            EXECUTE format('DROP TABLE public.%I', child.relname);
            dropped := dropped + 1;
        END LOOP;
        RETURN dropped;
    END
    $$
"""


class Migration(migrations.Migration):
    dependencies = [("inference", "0002_policies")]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX inference_decision_task ON inference_decision (task_id)",
            "DROP INDEX inference_decision_task",
        ),
        migrations.RunSQL(
            "CREATE INDEX inference_decision_request ON inference_decision (request_id)",
            "DROP INDEX inference_decision_request",
        ),
        migrations.RunSQL(
            [RETENTION, "REVOKE ALL ON FUNCTION rbee_drop_decisions FROM PUBLIC"],
            "DROP FUNCTION rbee_drop_decisions",
        ),
    ]
