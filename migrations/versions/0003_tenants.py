"""Tenants, and the reserved one."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import row_level_security

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table('tenants',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('slug', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('country_code', sa.Text(), nullable=True),
    sa.Column('official_identifier', sa.Text(), nullable=True),
    sa.Column('lms_type', sa.Text(), nullable=True),
    sa.Column('website', sa.Text(), nullable=True),
    sa.Column('public_submissions', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('self_registration', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('resync_interval_hours', sa.Integer(), nullable=False),
    sa.Column('loan_days', sa.Integer(), server_default=sa.text('14'), nullable=False),
    sa.Column('max_renewals', sa.Integer(), server_default=sa.text('2'), nullable=False),
    sa.Column('max_loans_per_reader', sa.Integer(), server_default=sa.text('20'), nullable=False),
    sa.Column('api_requests_per_minute', sa.Integer(), nullable=True),
    sa.Column('ingestion_jobs_per_hour', sa.Integer(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('suspended_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(status = 'suspended') = (suspended_at IS NOT NULL)", name=op.f('ck_tenants_suspended_at')),
    sa.CheckConstraint("kind IN ('library', 'school', 'personal')", name=op.f('ck_tenants_kind')),
    sa.CheckConstraint("slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) BETWEEN 2 AND 63", name=op.f('ck_tenants_slug')),
    sa.CheckConstraint("status IN ('active', 'suspended')", name=op.f('ck_tenants_status')),
    sa.CheckConstraint('api_requests_per_minute > 0', name=op.f('ck_tenants_api_requests_per_minute')),
    sa.CheckConstraint('ingestion_jobs_per_hour > 0', name=op.f('ck_tenants_ingestion_jobs_per_hour')),
    sa.CheckConstraint('length(name) BETWEEN 1 AND 200', name=op.f('ck_tenants_name')),
    sa.CheckConstraint('loan_days BETWEEN 1 AND 365', name=op.f('ck_tenants_loan_days')),
    sa.CheckConstraint('max_loans_per_reader BETWEEN 1 AND 1000', name=op.f('ck_tenants_max_loans_per_reader')),
    sa.CheckConstraint('max_renewals BETWEEN 0 AND 100', name=op.f('ck_tenants_max_renewals')),
    sa.CheckConstraint('resync_interval_hours BETWEEN 1 AND 8760', name=op.f('ck_tenants_resync_interval_hours')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tenants')),
    sa.UniqueConstraint('country_code', 'official_identifier', name='uq_tenants_official_identifier'),
    sa.UniqueConstraint('slug', name='uq_tenants_slug')
    )
    op.create_index('ix_tenants_created_at', 'tenants', ['created_at', 'id'], unique=False)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON tenants TO library_app")
    # Those who run the service; everything else of this id is in app/tenants/models.py.
    op.execute(
        "INSERT INTO tenants (id, slug, name, kind, status, resync_interval_hours) VALUES"
        " ('00000000-0000-7000-8000-000000000000', 'platform', 'Platform', 'library', 'active', 6)"
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("tenants")
