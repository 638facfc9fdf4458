"""Stock: a table in parts by the month, and functions that make parts and take them away.

The application's role owns no table, so it makes months by a function with the rights of the tables' owner, which takes
no table's name and makes no more than two years of them. To take months away is left to the owner itself.

Stock is read by functions as well, with the caller's own rights: PostgreSQL keeps their plans, and to plan a statement
over so many parts takes longer than to run it. They take the tenant from `app.tenant_id`, as the policies do.
"""

import sqlalchemy as sa
from alembic import op

from migrations.walls import row_level_security_in_bulk

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_FUNCTIONS = (
    "make_inventory_months(date)",
    "inventory_page(text, timestamptz, timestamptz, timestamptz, uuid, integer, integer)",
    "inventory_count(text, timestamptz, timestamptz, integer)",
    "inventory_latest(text[])",
    "detach_inventory_months(date)",
    "wall_inventory_part(text)",
)


def upgrade() -> None:
    """Make the table, with the months from a year ago to three months ahead."""
    op.create_table(
        "inventory_updates",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Text(collation="C"), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("length(product_id) BETWEEN 1 AND 255", name=op.f("ck_inventory_updates_product_id")),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_inventory_updates_quantity")),
        sa.PrimaryKeyConstraint("tenant_id", "product_id", "timestamp", "id", name=op.f("pk_inventory_updates")),
        postgresql_partition_by='RANGE ("timestamp")',
    )
    for statement in row_level_security_in_bulk("inventory_updates", rights="SELECT, INSERT, DELETE"):
        op.execute(statement)
    for statement in (_WALL, _ENDS, _MAKE, _DETACH, _PAGE, _COUNT, _LATEST):
        op.execute(statement)
    for function in _FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    for function in _FUNCTIONS[:4]:
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO library_app")
    op.execute("SELECT make_inventory_months((now() + interval '4 months')::date)")


# The parts have the same wall as the whole, though nobody but their owner reaches them other than through it.
_WALL = """
CREATE FUNCTION wall_inventory_part(part text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', part);
    EXECUTE format(
        'CREATE POLICY tenant ON %I USING (%s) WITH CHECK (%2$s)', part,
        'tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid)'
    );
END
$$
"""

# Any time has its place: what is older or newer than all months lies in these two.
_ENDS = """
DO $$
DECLARE
    first timestamptz := date_trunc('month', now(), 'UTC') - interval '12 months';
BEGIN
    SET LOCAL timezone = 'UTC';
    EXECUTE format(
        'CREATE TABLE inventory_updates_before PARTITION OF inventory_updates FOR VALUES FROM (MINVALUE) TO (%L)', first
    );
    EXECUTE format(
        'CREATE TABLE inventory_updates_after PARTITION OF inventory_updates FOR VALUES FROM (%L) TO (MAXVALUE)', first
    );
    PERFORM wall_inventory_part('inventory_updates_before');
    PERFORM wall_inventory_part('inventory_updates_after');
END
$$
"""

# The last part gives up its beginning. It is taken out of the table meanwhile, for which nobody else may be at the
# table: whoever has been for long is not waited for, since everybody else would wait as well.
_MAKE = r"""
CREATE FUNCTION make_inventory_months(until date) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '300ms' AS $$
DECLARE
    month timestamptz;
    next timestamptz;
    last timestamptz := least(date_trunc('month', until::timestamptz), date_trunc('month', now()) + interval '24 months');
    part text;
    made integer := 0;
BEGIN
    -- Once more when nobody else is at the table: somebody may have made them.
    FOR attempt IN 1 .. 2 LOOP
        SELECT substring(pg_get_expr(relpartbound, oid) FROM $e$FROM \('([^']+)'\)$e$)::timestamptz INTO month
        FROM pg_class WHERE oid = 'inventory_updates_after'::regclass;
        IF month >= last THEN
            RETURN 0;
        END IF;
        LOCK TABLE inventory_updates IN ACCESS EXCLUSIVE MODE;
    END LOOP;
    ALTER TABLE inventory_updates DETACH PARTITION inventory_updates_after;
    -- Else its owner would see nothing of it.
    ALTER TABLE inventory_updates_after NO FORCE ROW LEVEL SECURITY;
    WHILE month < last LOOP
        next := month + interval '1 month';
        part := 'inventory_updates_' || to_char(month, 'YYYY_MM');
        EXECUTE format('CREATE TABLE %I PARTITION OF inventory_updates FOR VALUES FROM (%L) TO (%L)', part, month, next);
        EXECUTE format(
            'INSERT INTO %I SELECT * FROM inventory_updates_after WHERE "timestamp" >= %L AND "timestamp" < %L',
            part, month, next
        );
        PERFORM wall_inventory_part(part);
        month := next;
        made := made + 1;
    END LOOP;
    DELETE FROM inventory_updates_after WHERE "timestamp" < month;
    ALTER TABLE inventory_updates_after FORCE ROW LEVEL SECURITY;
    EXECUTE format(
        'ALTER TABLE inventory_updates ATTACH PARTITION inventory_updates_after FOR VALUES FROM (%L) TO (MAXVALUE)', month
    );
    RETURN made;
END
$$
"""

# What came before the first month is taken out with it, and a new, empty part takes its place.
_DETACH = r"""
CREATE FUNCTION detach_inventory_months(before date) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE
SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    until timestamptz := date_trunc('month', before::timestamptz);
    part text;
    detached text;
BEGIN
    IF until > date_trunc('month', now()) THEN
        RAISE EXCEPTION 'The present month, and those to come, stay.';
    END IF;
    LOCK TABLE inventory_updates IN ACCESS EXCLUSIVE MODE;
    PERFORM FROM pg_class WHERE oid = 'inventory_updates_before'::regclass
        AND substring(pg_get_expr(relpartbound, oid) FROM $e$TO \('([^']+)'\)$e$)::timestamptz >= until;
    IF FOUND THEN
        RETURN;
    END IF;
    FOR part IN
        SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid
        WHERE inhparent = 'inventory_updates'::regclass AND relname <> 'inventory_updates_after'
            AND substring(pg_get_expr(relpartbound, oid) FROM $e$TO \('([^']+)'\)$e$)::timestamptz <= until
        ORDER BY relname <> 'inventory_updates_before', relname
    LOOP
        EXECUTE format('ALTER TABLE inventory_updates DETACH PARTITION %I', part);
        detached := part;
        IF part = 'inventory_updates_before' THEN
            detached := part || to_char(until, '_YYYY_MM');
            EXECUTE format('ALTER TABLE %I RENAME TO %I', part, detached);
            EXECUTE format('ALTER INDEX %I RENAME TO %I', part || '_pkey', detached || '_pkey');
        END IF;
        RETURN NEXT detached;
    END LOOP;
    EXECUTE format(
        'CREATE TABLE inventory_updates_before PARTITION OF inventory_updates FOR VALUES FROM (MINVALUE) TO (%L)', until
    );
    PERFORM wall_inventory_part('inventory_updates_before');
END
$$
"""

# A product's updates from one time to another (NULL: without an end) after a place among them (NULL: from the first),
# as the items of a JSON list: that is faster than to take rows apart and put them together again elsewhere. With them,
# how many were found (one more than `at_most` where there are more), and the place of the last one.
# The oldest first: parts are read one after the other, and only those that the time allows.
_PAGE = """
CREATE FUNCTION inventory_page(
    product text, first timestamptz, last timestamptz, after_time timestamptz, after_id uuid, at_most integer,
    passed_over integer
) RETURNS TABLE (items text, found bigint, last_time timestamptz, last_id uuid)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    own uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
    named text := ',"product_id":' || to_json(product) || ',"quantity":';
BEGIN
    first := greatest(first, after_time, '-infinity');
    last := least(last, 'infinity');
    after_time := coalesce(after_time, '-infinity');
    after_id := coalesce(after_id, '00000000-0000-0000-0000-000000000000');
    RETURN QUERY
        SELECT
            string_agg(
                '{"id":"' || p.id || '"' || named || p.quantity
                || ',"timestamp":' || left(to_json(p."timestamp")::text, -7)
                || 'Z","created_at":' || left(to_json(p.created_at)::text, -7) || 'Z"}',
                ',' ORDER BY p.n
            ) FILTER (WHERE p.n <= at_most),
            count(*),
            max(p."timestamp") FILTER (WHERE p.n = at_most),
            (array_agg(p.id) FILTER (WHERE p.n = at_most))[1]
        FROM (
            SELECT row_number() OVER (ORDER BY u."timestamp", u.id) AS n, u.id, u.quantity, u."timestamp", u.created_at
            FROM (
                SELECT id, quantity, "timestamp", created_at
                FROM inventory_updates AS u
                WHERE u.tenant_id = own AND u.product_id = product AND u."timestamp" BETWEEN first AND last
                    AND (u."timestamp", u.id) > (after_time, after_id)
                ORDER BY u."timestamp", u.id
                LIMIT at_most + 1 OFFSET passed_over
            ) AS u
        ) AS p;
END
$$
"""

# How many there are, as far as `at_most`.
_COUNT = """
CREATE FUNCTION inventory_count(product text, first timestamptz, last timestamptz, at_most integer) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off AS $$
DECLARE
    own uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
BEGIN
    first := greatest(first, '-infinity');
    last := least(last, 'infinity');
    RETURN (
        SELECT count(*) FROM (
            SELECT FROM inventory_updates AS u
            WHERE u.tenant_id = own AND u.product_id = product AND u."timestamp" BETWEEN first AND last
            LIMIT at_most
        ) AS found
    );
END
$$
"""

# The newest update of each product that has one, in the order of the products.
_LATEST = """
CREATE FUNCTION inventory_latest(products text[])
RETURNS TABLE (id uuid, product_id text, quantity bigint, "timestamp" timestamptz, created_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    own uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
BEGIN
    RETURN QUERY
        SELECT newest.*
        FROM unnest(products) WITH ORDINALITY AS asked (product, place), LATERAL (
            SELECT u.id, u.product_id, u.quantity, u."timestamp", u.created_at
            FROM inventory_updates AS u
            WHERE u.tenant_id = own AND u.product_id = asked.product
            ORDER BY u."timestamp" DESC, u.id DESC
            LIMIT 1
        ) AS newest
        ORDER BY asked.place;
END
$$
"""


def downgrade() -> None:
    """Drop the table with its parts; months that were taken away stay where they are."""
    op.drop_table("inventory_updates")
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
