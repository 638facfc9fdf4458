"""The application's role, and the answers kept for repeated requests."""

import sqlalchemy as sa
from alembic import op

from migrations.walls import row_level_security

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the role that owns nothing, where it is not there yet, and the first table."""
    op.execute(
        """
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'library_app') THEN
                CREATE ROLE library_app NOLOGIN NOSUPERUSER NOBYPASSRLS;
            END IF;
        END $$
        """
    )
    op.execute("GRANT USAGE ON SCHEMA public TO library_app")
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("sealed_answer", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key_hash", name="pk_idempotency_keys"),
    )
    for statement in row_level_security("idempotency_keys"):
        op.execute(statement)


def downgrade() -> None:
    """Drop the table; the role stays, other databases of the server may use it."""
    op.drop_table("idempotency_keys")
    op.execute("REVOKE USAGE ON SCHEMA public FROM library_app")
