"""Copies, which keep the counts of their books, with loans, holds and what readers are told of them."""

import sqlalchemy as sa
from alembic import op

from migrations.walls import row_level_security

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# A loan is what takes a copy out, so it is counted where that shows: one write of the book's row for all counts.
_COUNT_COPIES = """
CREATE FUNCTION count_copies() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    had int := 0; was_free int := 0; has int := 0; is_free int := 0; lent int := 0;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        had := (OLD.status NOT IN ('lost', 'withdrawn'))::int;
        was_free := (OLD.status = 'available')::int;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        has := (NEW.status NOT IN ('lost', 'withdrawn'))::int;
        is_free := (NEW.status = 'available')::int;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        lent := (NEW.status = 'on_loan' AND OLD.status <> 'on_loan')::int;
        IF OLD.book_id = NEW.book_id THEN
            UPDATE books SET barcoded_total = barcoded_total + has - had,
                barcoded_available = barcoded_available + is_free - was_free, times_borrowed = times_borrowed + lent
            WHERE tenant_id = NEW.tenant_id AND id = NEW.book_id;
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE books SET barcoded_total = barcoded_total - had, barcoded_available = barcoded_available - was_free
        WHERE tenant_id = OLD.tenant_id AND id = OLD.book_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE books SET barcoded_total = barcoded_total + has, barcoded_available = barcoded_available + is_free,
            times_borrowed = times_borrowed + lent
        WHERE tenant_id = NEW.tenant_id AND id = NEW.book_id;
    END IF;
    RETURN NULL;
END
$$
"""
_COUNTING = {
    "count_copies_come_and_gone": "INSERT OR DELETE ON copies",
    "count_copies_moved": "UPDATE OF status, book_id ON copies",
}


def upgrade() -> None:
    """Make the tables, and let a trigger keep the counts."""
    op.create_table('copies',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('book_id', sa.Uuid(), nullable=False),
    sa.Column('barcode', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('location', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("barcode ~ '^[A-Za-z0-9._$+:*-]{1,64}$'", name=op.f('ck_copies_barcode')),
    sa.CheckConstraint("status IN ('available', 'on_loan', 'on_hold', 'lost', 'withdrawn')", name=op.f('ck_copies_status')),
    sa.CheckConstraint('length(location) <= 200', name=op.f('ck_copies_location')),
    sa.ForeignKeyConstraint(['tenant_id', 'book_id'], ['books.tenant_id', 'books.id'], name='fk_copies_book', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_copies')),
    sa.UniqueConstraint('tenant_id', 'barcode', name='uq_copies_barcode')
    )
    op.create_index('ix_copies_book', 'copies', ['tenant_id', 'book_id', 'status', 'id'], unique=False)
    op.create_index('ix_copies_book_created_at', 'copies', ['tenant_id', 'book_id', 'created_at', 'id'], unique=False)
    op.create_table('holds',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('book_id', sa.Uuid(), nullable=False),
    sa.Column('reader_id', sa.Uuid(), nullable=False),
    sa.Column('status', sa.Text(), server_default='queued', nullable=False),
    sa.Column('copy_id', sa.Uuid(), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('placed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(status = 'ready') = (copy_id IS NOT NULL)", name=op.f('ck_holds_ready_has_copy')),
    sa.CheckConstraint("(status = 'ready') = (expires_at IS NOT NULL)", name=op.f('ck_holds_ready_expires')),
    sa.CheckConstraint("(status IN ('queued', 'ready')) = (ended_at IS NULL)", name=op.f('ck_holds_ended_at')),
    sa.CheckConstraint("status IN ('queued', 'ready', 'fulfilled', 'cancelled', 'expired')", name=op.f('ck_holds_status')),
    sa.ForeignKeyConstraint(['tenant_id', 'book_id'], ['books.tenant_id', 'books.id'], name='fk_holds_book', ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['tenant_id', 'copy_id'], ['copies.tenant_id', 'copies.id'], name='fk_holds_copy'),
    sa.ForeignKeyConstraint(['tenant_id', 'reader_id'], ['readers.tenant_id', 'readers.id'], name='fk_holds_reader', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_holds'))
    )
    op.create_index('ix_holds_expires_at', 'holds', ['tenant_id', 'expires_at'], unique=False)
    op.create_index('ix_holds_placed_at', 'holds', ['tenant_id', 'placed_at', 'id'], unique=False)
    op.create_index('ix_holds_queue', 'holds', ['tenant_id', 'book_id', 'placed_at', 'id'], unique=False, postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('ix_holds_reader', 'holds', ['tenant_id', 'reader_id', 'placed_at', 'id'], unique=False)
    op.create_index('uq_holds_copy', 'holds', ['tenant_id', 'copy_id'], unique=True)
    op.create_index('uq_holds_waiting_reader', 'holds', ['tenant_id', 'book_id', 'reader_id'], unique=True, postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('loans',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('book_id', sa.Uuid(), nullable=False),
    sa.Column('copy_id', sa.Uuid(), nullable=True),
    sa.Column('reader_id', sa.Uuid(), nullable=True),
    sa.Column('borrowed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('returned_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('renewals', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.CheckConstraint('due_at > borrowed_at', name=op.f('ck_loans_due_at')),
    sa.CheckConstraint('renewals >= 0', name=op.f('ck_loans_renewals')),
    sa.CheckConstraint('returned_at IS NOT NULL OR copy_id IS NOT NULL', name=op.f('ck_loans_open_has_copy')),
    sa.ForeignKeyConstraint(['tenant_id', 'book_id'], ['books.tenant_id', 'books.id'], name='fk_loans_book', ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['tenant_id', 'copy_id'], ['copies.tenant_id', 'copies.id'], name='fk_loans_copy', ondelete='SET NULL (copy_id)'),
    sa.ForeignKeyConstraint(['tenant_id', 'reader_id'], ['readers.tenant_id', 'readers.id'], name='fk_loans_reader', ondelete='SET NULL (reader_id)'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_loans'))
    )
    op.create_index('ix_loans_book', 'loans', ['tenant_id', 'book_id', 'borrowed_at', 'id'], unique=False)
    op.create_index('ix_loans_borrowed_at', 'loans', ['tenant_id', 'borrowed_at', 'id'], unique=False, postgresql_include=['book_id'])
    op.create_index('ix_loans_copy', 'loans', ['tenant_id', 'copy_id'], unique=False)
    op.create_index('ix_loans_due_at', 'loans', ['tenant_id', 'due_at', 'id'], unique=False)
    op.create_index('ix_loans_open_due_at', 'loans', ['tenant_id', 'due_at', 'id'], unique=False, postgresql_where=sa.text('returned_at IS NULL'))
    op.create_index('ix_loans_reader', 'loans', ['tenant_id', 'reader_id', 'borrowed_at', 'id'], unique=False)
    op.create_index('uq_loans_open_copy', 'loans', ['tenant_id', 'copy_id'], unique=True, postgresql_where=sa.text('returned_at IS NULL'))
    op.create_table('loan_notices',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('loan_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("kind IN ('loan_due', 'loan_overdue')", name=op.f('ck_loan_notices_kind')),
    sa.ForeignKeyConstraint(['tenant_id', 'loan_id'], ['loans.tenant_id', 'loans.id'], name='fk_loan_notices_loan', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'loan_id', 'kind', 'due_at', name=op.f('pk_loan_notices'))
    )
    for table in ('copies', 'loans', 'holds', 'loan_notices'):
        for statement in row_level_security(table):
            op.execute(statement)
    op.execute(_COUNT_COPIES)
    for name, event in _COUNTING.items():
        op.execute(f"CREATE TRIGGER {name} AFTER {event} FOR EACH ROW EXECUTE FUNCTION count_copies()")


def downgrade() -> None:
    """Take all of it away; books then have the copies that are listed."""
    for table in ("loan_notices", "loans", "holds", "copies"):
        op.drop_table(table)
    op.execute("DROP FUNCTION count_copies()")
    # The wall stands in the owner's way as well.
    op.execute("ALTER TABLE books NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE books SET barcoded_total = 0, barcoded_available = 0, times_borrowed = 0")
    op.execute("ALTER TABLE books FORCE ROW LEVEL SECURITY")
