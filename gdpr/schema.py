"""What a tenant's table and a book have in the database and Django cannot say. For migrations.

    tenant_table        row-level security, forced also on the owner; UNIQUE (tenant_id, id)
    tenant_reference    a foreign key (tenant_id, x_id) to a tenant's table: no row can point into another tenant
    colony_table        row-level security for a table that only colony_tx may see
    monthly_table       partitions by the month inside a UUIDv7; CHECK that month and id agree
    append_only         triggers that refuse UPDATE, DELETE and TRUNCATE, also to the owner
    NUMBERED_ONCE       an audit entry's place, given once and by the sequencer only

Who may do what to which table is granted by `rbee.roles` after each migration.
"""

from __future__ import annotations

from django.db import migrations

from gdpr.scope import COLONY_ROLE

SEQUENCER_ROLE = "rbee_sequencer"
CURRENT_TENANT = "(SELECT nullif(current_setting('app.tenant', true), '')::uuid)"


def tenant_table(table: str, *, tenant_column: str = "tenant_id", unique: bool = True) -> migrations.RunSQL:
    """`unique`: other tables of the tenant may refer to (tenant_id, id). An app's setting survives a transaction as
    an empty string on a recycled connection, hence nullif."""
    own = f"{tenant_column} = {CURRENT_TENANT}"
    forward = [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant ON {table} USING ({own}) WITH CHECK ({own})",
        f"CREATE POLICY colony ON {table} TO {COLONY_ROLE} USING (true) WITH CHECK (true)",
    ]
    backward = [
        f"DROP POLICY colony ON {table}",
        f"DROP POLICY tenant ON {table}",
        f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    ]
    if unique:
        forward.append(f"ALTER TABLE {table} ADD CONSTRAINT {table}_tenant_id UNIQUE ({tenant_column}, id)")
        backward.append(f"ALTER TABLE {table} DROP CONSTRAINT {table}_tenant_id")
    return migrations.RunSQL(tuple(forward), tuple(backward))


def tenant_reference(table: str, column: str, target: str) -> migrations.RunSQL:
    """`target` must be a tenant_table; a NULL in `column` refers to nothing."""
    name = f"{table}_{column}_same_tenant"
    return migrations.RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (tenant_id, {column})"
        f" REFERENCES {target} (tenant_id, id)",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )


def colony_table(table: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        [
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY colony ON {table} TO {COLONY_ROLE} USING (true) WITH CHECK (true)",
        ],
        [
            f"DROP POLICY colony ON {table}",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ],
    )


def append_only(table: str) -> migrations.RunSQL:
    """The row trigger of a partitioned table is copied to its partitions; the other is not, and `rbee_make_partitions`
    sets it on each."""
    refuse = "EXECUTE FUNCTION rbee_refuse_change()"
    return migrations.RunSQL(
        [
            f"CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {refuse}",
            f"CREATE TRIGGER append_only_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}",
        ],
        [
            f"DROP TRIGGER append_only_table ON {table}",
            f"DROP TRIGGER append_only_rows ON {table}",
        ],
    )


def monthly_table(table: str, columns: str, *, id_column: str) -> migrations.RunSQL:
    """`columns`: the definitions of all columns but `month` and `id_column`, and constraints. There is no default
    partition: a row for a month that has none is refused, and its writer calls `rbee_make_partitions`."""
    return migrations.RunSQL(
        f"CREATE TABLE {table} (month date NOT NULL, {id_column} uuid NOT NULL, {columns},"
        f" PRIMARY KEY (month, {id_column}),"
        f" CONSTRAINT {table}_month CHECK (month = rbee_month({id_column})))"
        " PARTITION BY LIST (month)",
        f"DROP TABLE {table}",
    )


# In place of the row trigger of `append_only`. Who inserts a row gives it no place, also not the owner. Places are found
# by a partial index, which holds the few rows that wait.
_ROWS_OF_AUDIT = (
    "CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON gdpr_auditentry FOR EACH ROW EXECUTE FUNCTION"
)
NUMBERED_ONCE = migrations.RunSQL(
    [
        f"""
        CREATE FUNCTION rbee_number_once() RETURNS trigger
        LANGUAGE plpgsql
        AS $$
        DECLARE
            place bigint;
        BEGIN
            IF TG_OP = 'UPDATE' AND current_user = '{SEQUENCER_ROLE}' AND OLD.seq IS NULL AND NEW.seq >= 0 THEN
                place := NEW.seq;
                NEW.seq := NULL;
                IF NEW IS NOT DISTINCT FROM OLD THEN
                    NEW.seq := place;
                    RETURN NEW;
                END IF;
            END IF;
            RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
        END
        $$
        """,
        "DROP TRIGGER append_only_rows ON gdpr_auditentry",
        f"{_ROWS_OF_AUDIT} rbee_number_once()",
        "CREATE POLICY unnumbered ON gdpr_auditentry AS RESTRICTIVE FOR INSERT WITH CHECK (seq IS NULL)",
        f"CREATE POLICY sequencer ON gdpr_auditentry TO {SEQUENCER_ROLE} USING (true) WITH CHECK (true)",
        "CREATE INDEX gdpr_auditentry_waiting ON gdpr_auditentry (id) WHERE seq IS NULL",
        "CREATE UNIQUE INDEX gdpr_auditentry_seq ON gdpr_auditentry (seq, month) WHERE seq IS NOT NULL",
    ],
    [
        "DROP INDEX gdpr_auditentry_seq",
        "DROP INDEX gdpr_auditentry_waiting",
        "DROP POLICY sequencer ON gdpr_auditentry",
        "DROP POLICY unnumbered ON gdpr_auditentry",
        "DROP TRIGGER append_only_rows ON gdpr_auditentry",
        f"{_ROWS_OF_AUDIT} rbee_refuse_change()",
        "DROP FUNCTION rbee_number_once",
    ],
)

FUNCTIONS = migrations.RunSQL(
    [
        """
        CREATE FUNCTION rbee_month(id uuid) RETURNS date
        LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
        AS $$
            SELECT date_trunc('month', timestamp 'epoch' + interval '1 millisecond' *
                ('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint)::date
        $$
        """,
        "COMMENT ON FUNCTION rbee_month IS 'First day of the month in UTC inside a UUIDv7'",
        """
        CREATE FUNCTION rbee_refuse_change() RETURNS trigger
        LANGUAGE plpgsql
        AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
        END
        $$
        """,
        # Runs as its owner, who may make tables; the bounds keep a caller from making partitions without end.
        """
        CREATE FUNCTION rbee_make_partitions(first_month date, last_month date) RETURNS int
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
        AS $$
        DECLARE
            this_month date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
            parent record;
            wanted date;
            child text;
            made int := 0;
        BEGIN
            IF first_month < this_month - interval '24 months' OR last_month > this_month + interval '3 months' THEN
                RAISE EXCEPTION 'partitions are made for 24 months back to 3 months ahead, not for % to %',
                    first_month, last_month USING ERRCODE = 'datetime_field_overflow';
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended('rbee_make_partitions', 0));
            FOR parent IN
                SELECT c.relname, c.relnamespace::regnamespace::text AS schema, c.oid
                FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0] AND a.attname = 'month'
                WHERE c.relnamespace = 'public'::regnamespace
                ORDER BY c.relname
            LOOP
                wanted := date_trunc('month', first_month)::date;
                WHILE wanted <= last_month LOOP
                    child := parent.relname || to_char(wanted, '_YYYY_MM');
                    IF to_regclass(format('%I.%I', parent.schema, child)) IS NULL THEN
                        EXECUTE format('CREATE TABLE %I.%I PARTITION OF %I.%I FOR VALUES IN (%L)',
                            parent.schema, child, parent.schema, parent.relname, wanted);
                        EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', parent.schema, child);
                        EXECUTE format('ALTER TABLE %I.%I FORCE ROW LEVEL SECURITY', parent.schema, child);
                        IF EXISTS (SELECT 1 FROM pg_trigger
                                   WHERE tgrelid = parent.oid AND tgname = 'append_only_table') THEN
                            EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %I.%I'
                                ' FOR EACH STATEMENT EXECUTE FUNCTION rbee_refuse_change()', parent.schema, child);
                        END IF;
                        made := made + 1;
                    END IF;
                    wanted := (wanted + interval '1 month')::date;
                END LOOP;
            END LOOP;
            RETURN made;
        END
        $$
        """,
        "REVOKE ALL ON FUNCTION rbee_make_partitions FROM PUBLIC",
    ],
    [
        "DROP FUNCTION rbee_make_partitions",
        "DROP FUNCTION rbee_refuse_change",
        "DROP FUNCTION rbee_month",
    ],
)
