"""Our copy of Open Library's records, and its remembered answers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; they belong to no tenant and so stand outside row-level security."""
    op.create_table(
        "open_library_records",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("key ~ '^OL[0-9]+[WMA]$'", name=op.f("ck_open_library_records_key")),
        sa.CheckConstraint(
            "kind IN ('work', 'edition', 'author', 'redirect', 'deleted')", name=op.f("ck_open_library_records_kind")
        ),
        sa.CheckConstraint(
            "(kind = 'redirect') = (location IS NOT NULL)", name=op.f("ck_open_library_records_location")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_open_library_records")),
    )
    op.create_index("ix_open_library_records_words", "open_library_records", ["words"], postgresql_using="gin")
    op.create_table(
        "open_library_queries",
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("page_offset", sa.Integer(), nullable=False),
        sa.Column("keys", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("page_offset >= 0 AND total >= 0", name=op.f("ck_open_library_queries_numbers")),
        sa.PrimaryKeyConstraint("query", "page_offset", name=op.f("pk_open_library_queries")),
    )
    for table in ("open_library_records", "open_library_queries"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO library_app")


def downgrade() -> None:
    """Drop them."""
    op.drop_table("open_library_queries")
    op.drop_table("open_library_records")
