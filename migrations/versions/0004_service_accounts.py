"""Service accounts and their keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import row_level_security

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table('service_accounts',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('scopes', postgresql.ARRAY(sa.Text()), nullable=True),
    sa.Column('is_active', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("role IN ('platform_admin', 'admin', 'librarian', 'lms', 'kiosk', 'read_only')", name=op.f('ck_service_accounts_role')),
    sa.CheckConstraint('length(name) BETWEEN 1 AND 200', name=op.f('ck_service_accounts_name')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_service_accounts_tenant'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_service_accounts'))
    )
    op.create_index('ix_service_accounts_created_at', 'service_accounts', ['tenant_id', 'created_at', 'id'], unique=False)
    op.create_table('service_account_keys',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('service_account_id', sa.Uuid(), nullable=False),
    sa.Column('prefix', sa.Text(), nullable=False),
    sa.Column('key_hash', sa.LargeBinary(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id', 'service_account_id'], ['service_accounts.tenant_id', 'service_accounts.id'], name='fk_service_account_keys_account', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_service_account_keys')),
    sa.UniqueConstraint('tenant_id', 'prefix', name='uq_service_account_keys_prefix')
    )
    op.create_index('ix_service_account_keys_account', 'service_account_keys', ['tenant_id', 'service_account_id', 'created_at'], unique=False)
    for table in ('service_accounts', 'service_account_keys'):
        for statement in row_level_security(table):
            op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("service_account_keys")
    op.drop_table("service_accounts")
