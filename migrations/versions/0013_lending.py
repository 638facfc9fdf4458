"""Lending is a function in the database: PostgreSQL keeps its plans, which took longer to make than to run.

With it, what the tables of circulation lacked.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# With the caller's own rights. `wanted` is a barcode, the id of a copy, or that of a book, of which any copy will do; one
# that waits for the reader counts as free, and comes first. No row where nothing is lent: whoever asked finds out why,
# while reader and book are held.
_LEND = """
CREATE FUNCTION lend_copy(new_loan uuid, reader uuid, by_barcode text, by_copy uuid, by_book uuid)
RETURNS TABLE (
    id uuid, reader_id uuid, book_id uuid, title text, copy_id uuid, barcode text, status text, borrowed_at timestamptz,
    due_at timestamptz, returned_at timestamptz, renewals integer, hold_id uuid, held_copy_id uuid
)
LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    own uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
    days integer;
    most integer;
    wanted_copy uuid;
    wanted_book uuid := by_book;
    called text;
    lent_copy uuid;
    lent_barcode text;
    hold uuid;
    held_copy uuid;
    moment timestamptz;
BEGIN
    -- The reader before the book, as everybody does; nobody gets past the limit by asking twice at once.
    SELECT t.loan_days, t.max_loans_per_reader INTO days, most
    FROM readers r
    JOIN users u ON u.tenant_id = r.tenant_id AND u.id = r.id AND u.is_active
    JOIN tenants t ON t.id = r.tenant_id
    WHERE r.tenant_id = own AND r.id = reader FOR NO KEY UPDATE OF u;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    LOOP
        IF by_barcode IS NOT NULL THEN
            SELECT c.id, c.book_id INTO wanted_copy, wanted_book FROM copies c
            WHERE c.tenant_id = own AND c.barcode = by_barcode;
        ELSIF by_copy IS NOT NULL THEN
            SELECT c.id, c.book_id INTO wanted_copy, wanted_book FROM copies c WHERE c.tenant_id = own AND c.id = by_copy;
        END IF;
        SELECT b.title INTO called FROM books b WHERE b.tenant_id = own AND b.id = wanted_book FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        IF wanted_copy IS NULL THEN
            RETURN;
        END IF;
        -- While this waited, two books became one, and the copy is of the other.
    END LOOP;
    -- From here on, each statement sees what there was when the book was held; so the loan begins then, after the end of
    -- the one before, and not when the transaction did.
    moment := clock_timestamp();
    IF (SELECT count(*) FROM loans l WHERE l.tenant_id = own AND l.reader_id = reader AND l.returned_at IS NULL) >= most
    THEN
        RETURN;
    END IF;
    SELECT c.id, c.barcode INTO lent_copy, lent_barcode FROM copies c
    LEFT JOIN holds h ON h.tenant_id = c.tenant_id AND h.copy_id = c.id
    WHERE c.tenant_id = own AND c.book_id = wanted_book AND c.id = coalesce(wanted_copy, c.id)
        AND (c.status = 'available' OR c.status = 'on_hold' AND h.reader_id = reader)
    ORDER BY c.status = 'on_hold' DESC, c.id LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE copies c SET status = 'on_loan', updated_at = now() WHERE c.tenant_id = own AND c.id = lent_copy;
    SELECT h.id, h.copy_id INTO hold, held_copy FROM holds h
    WHERE h.tenant_id = own AND h.book_id = wanted_book AND h.reader_id = reader AND h.ended_at IS NULL;
    IF FOUND THEN
        UPDATE holds h SET status = 'fulfilled', copy_id = NULL, expires_at = NULL, ended_at = now()
        WHERE h.tenant_id = own AND h.id = hold;
    END IF;
    RETURN QUERY
        INSERT INTO loans AS l (tenant_id, id, book_id, copy_id, reader_id, borrowed_at, due_at)
        VALUES (own, new_loan, wanted_book, lent_copy, reader, moment, moment + make_interval(days => days))
        RETURNING l.id, l.reader_id, l.book_id, called, l.copy_id, lent_barcode, 'active', l.borrowed_at, l.due_at,
            l.returned_at, l.renewals, hold, held_copy;
END
$$
"""


def upgrade() -> None:
    """Make the function, let no loan end before it began, and let indexes find holds by book and status."""
    # The wall stands in the owner's way as well.
    op.execute("ALTER TABLE loans NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE loans SET returned_at = borrowed_at WHERE returned_at < borrowed_at")
    op.execute("ALTER TABLE loans FORCE ROW LEVEL SECURITY")
    op.create_check_constraint("returned_at", "loans", "returned_at >= borrowed_at")
    op.create_index("ix_holds_book", "holds", ["tenant_id", "book_id"])
    op.create_index("ix_holds_status", "holds", ["tenant_id", "status", "placed_at", "id"])
    op.execute(_LEND)
    op.execute("REVOKE ALL ON FUNCTION lend_copy(uuid, uuid, text, uuid, uuid) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION lend_copy(uuid, uuid, text, uuid, uuid) TO library_app")


def downgrade() -> None:
    """Take it away."""
    op.drop_index("ix_holds_status", table_name="holds")
    op.drop_index("ix_holds_book", table_name="holds")
    op.drop_constraint(op.f("ck_loans_returned_at"), "loans", type_="check")
    op.execute("DROP FUNCTION lend_copy(uuid, uuid, text, uuid, uuid)")
