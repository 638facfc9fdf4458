"""Books that are new or say something new, for rules to look at."""

import sqlalchemy as sa
from alembic import op

from migrations.walls import row_level_security

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Whoever writes books need not know of labels. What a book says has changed where its hash has.
_QUEUE = """
CREATE FUNCTION queue_for_labels() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO books_to_label (tenant_id, book_id) VALUES (NEW.tenant_id, NEW.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    """Make the queue, with all books there are in it."""
    op.create_table(
        "books_to_label",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("book_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "book_id", name=op.f("pk_books_to_label")),
    )
    # The wall stands in the owner's way as well.
    op.execute("ALTER TABLE books NO FORCE ROW LEVEL SECURITY")
    op.execute("INSERT INTO books_to_label (tenant_id, book_id) SELECT tenant_id, id FROM books")
    op.execute("ALTER TABLE books FORCE ROW LEVEL SECURITY")
    for statement in row_level_security("books_to_label"):
        op.execute(statement)
    op.execute(_QUEUE)
    op.execute(
        "CREATE TRIGGER queue_new_for_labels AFTER INSERT ON books FOR EACH ROW EXECUTE FUNCTION queue_for_labels()"
    )
    op.execute(
        "CREATE TRIGGER queue_changed_for_labels AFTER UPDATE OF content_hash ON books FOR EACH ROW"
        " WHEN (OLD.content_hash <> NEW.content_hash) EXECUTE FUNCTION queue_for_labels()"
    )


def downgrade() -> None:
    """Take it away."""
    for trigger in ("queue_new_for_labels", "queue_changed_for_labels"):
        op.execute(f"DROP TRIGGER {trigger} ON books")
    op.execute("DROP FUNCTION queue_for_labels()")
    op.drop_table("books_to_label")
