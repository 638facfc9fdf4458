"""The audit trail."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import row_level_security

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table('events',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('level', sa.Text(), nullable=False),
    sa.Column('actor_kind', sa.Text(), nullable=False),
    sa.Column('actor_id', sa.Uuid(), nullable=True),
    sa.Column('subject_id', sa.Uuid(), nullable=True),
    sa.Column('data', postgresql.JSONB(), nullable=False),
    sa.Column('request_id', sa.Text(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint("level IN ('info', 'warning', 'error')", name=op.f('ck_events_level')),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_events'))
    )
    op.create_index('ix_events_at', 'events', ['tenant_id', 'at', 'id'], unique=False)
    op.create_index('ix_events_subject', 'events', ['tenant_id', 'subject_id', 'at'], unique=False)
    for table in ('events',):
        # Append-only: there is no right to change or remove a row.
        for statement in row_level_security(table, rights="SELECT, INSERT"):
            op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("events")
