"""Ingestion: jobs with their items and logs, the queue, turns and the re-sync schedule."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import row_level_security

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table('ingestion_batches',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_ingestion_batches_tenant', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_ingestion_batches'))
    )
    op.create_table('ingestion_jobs',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('batch_id', sa.Uuid(), nullable=True),
    sa.Column('trigger', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('query', sa.Text(), nullable=True),
    sa.Column('query_key', sa.Text(), nullable=True),
    sa.Column('open_library_keys', postgresql.ARRAY(sa.TEXT()), nullable=True),
    sa.Column('isbns', postgresql.ARRAY(sa.TEXT()), nullable=True),
    sa.Column('max_works', sa.Integer(), nullable=False),
    sa.Column('refresh', sa.Boolean(), nullable=False),
    sa.Column('is_retry', sa.Boolean(), nullable=False),
    sa.Column('source', sa.Text(), nullable=True),
    sa.Column('search_position', sa.Integer(), nullable=False),
    sa.Column('is_search_over', sa.Boolean(), nullable=False),
    sa.Column('works_total', sa.Integer(), nullable=False),
    sa.Column('works_created', sa.Integer(), nullable=False),
    sa.Column('works_updated', sa.Integer(), nullable=False),
    sa.Column('works_unchanged', sa.Integer(), nullable=False),
    sa.Column('works_failed', sa.Integer(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('error_code', sa.Text(), nullable=True),
    sa.Column('error_message', sa.Text(), nullable=True),
    sa.Column('request_id', sa.Text(), nullable=True),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(finished_at IS NULL) = (status IN ('pending', 'running'))", name=op.f('ck_ingestion_jobs_finished_at')),
    sa.CheckConstraint("source IN ('open_library', 'mirror')", name=op.f('ck_ingestion_jobs_source')),
    sa.CheckConstraint("status <> 'failed' OR error_code IS NOT NULL", name=op.f('ck_ingestion_jobs_error_code')),
    sa.CheckConstraint("status IN ('pending', 'running', 'completed', 'failed', 'cancelled')", name=op.f('ck_ingestion_jobs_status')),
    sa.CheckConstraint("trigger IN ('api', 'resync')", name=op.f('ck_ingestion_jobs_trigger')),
    sa.CheckConstraint('(query IS NULL) = (query_key IS NULL)', name=op.f('ck_ingestion_jobs_query_key')),
    sa.CheckConstraint('least(works_total, works_created, works_updated, works_unchanged, works_failed) >= 0', name=op.f('ck_ingestion_jobs_progress')),
    sa.CheckConstraint('max_works BETWEEN 1 AND 10000', name=op.f('ck_ingestion_jobs_max_works')),
    sa.CheckConstraint('num_nonnulls(query, open_library_keys, isbns) = 1', name=op.f('ck_ingestion_jobs_one_wish')),
    sa.ForeignKeyConstraint(['tenant_id', 'batch_id'], ['ingestion_batches.tenant_id', 'ingestion_batches.id'], name='fk_ingestion_jobs_batch', ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_ingestion_jobs_tenant', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_ingestion_jobs'))
    )
    op.create_index('ix_ingestion_jobs_batch', 'ingestion_jobs', ['tenant_id', 'batch_id', 'created_at', 'id'], unique=False)
    op.create_index('ix_ingestion_jobs_created_at', 'ingestion_jobs', ['tenant_id', 'created_at', 'id'], unique=False)
    op.create_index('ix_ingestion_jobs_status', 'ingestion_jobs', ['tenant_id', 'status', 'created_at', 'id'], unique=False)
    op.create_index('ix_ingestion_jobs_trigger', 'ingestion_jobs', ['tenant_id', 'trigger', 'created_at', 'id'], unique=False)
    op.create_index('ix_ingestion_jobs_unfinished_query', 'ingestion_jobs', ['tenant_id', 'query_key'], unique=False, postgresql_where=sa.text("status IN ('pending', 'running')"))
    op.create_table('ingestion_items',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('item', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.CheckConstraint("state IN ('pending', 'done', 'gone', 'failed')", name=op.f('ck_ingestion_items_state')),
    sa.ForeignKeyConstraint(['tenant_id', 'job_id'], ['ingestion_jobs.tenant_id', 'ingestion_jobs.id'], name='fk_ingestion_items_job', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'job_id', 'item', name=op.f('pk_ingestion_items'))
    )
    op.create_index('ix_ingestion_items_not_done', 'ingestion_items', ['tenant_id', 'job_id', 'item'], unique=False, postgresql_where=sa.text("state <> 'done'"))
    op.create_table('ingestion_logs',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('open_library_key', sa.Text(), nullable=True),
    sa.Column('action', sa.Text(), nullable=False),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint("action IN ('created', 'updated', 'unchanged', 'failed', 'redirected')", name=op.f('ck_ingestion_logs_action')),
    sa.ForeignKeyConstraint(['tenant_id', 'job_id'], ['ingestion_jobs.tenant_id', 'ingestion_jobs.id'], name='fk_ingestion_logs_job', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_ingestion_logs'))
    )
    op.create_index('ix_ingestion_logs_action', 'ingestion_logs', ['tenant_id', 'action', 'at', 'id'], unique=False, postgresql_where=sa.text("action <> 'unchanged'"))
    op.create_index('ix_ingestion_logs_at', 'ingestion_logs', ['tenant_id', 'at', 'id'], unique=False)
    op.create_index('ix_ingestion_logs_job', 'ingestion_logs', ['tenant_id', 'job_id', 'at', 'id'], unique=False)
    op.create_index('ix_ingestion_logs_key', 'ingestion_logs', ['tenant_id', 'open_library_key', 'at', 'id'], unique=False)
    op.create_table('ingestion_queries',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('query_key', sa.Text(), nullable=False),
    sa.Column('query', sa.Text(), nullable=False),
    sa.Column('max_works', sa.Integer(), nullable=False),
    sa.Column('works', sa.Integer(), nullable=False),
    sa.Column('last_synced_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_ingestion_queries_tenant', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'query_key', name=op.f('pk_ingestion_queries'))
    )
    op.create_table('ingestion_query_works',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('query_key', sa.Text(), nullable=False),
    sa.Column('open_library_key', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id', 'query_key'], ['ingestion_queries.tenant_id', 'ingestion_queries.query_key'], name='fk_ingestion_query_works_query', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'query_key', 'open_library_key', name=op.f('pk_ingestion_query_works'))
    )
    op.create_table('ingestion_queue',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('available_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('lease', sa.Uuid(), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('claims', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('unavailable_since', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('(lease IS NULL) = (leased_until IS NULL)', name=op.f('ck_ingestion_queue_lease')),
    sa.ForeignKeyConstraint(['tenant_id', 'job_id'], ['ingestion_jobs.tenant_id', 'ingestion_jobs.id'], name='fk_ingestion_queue_job', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', name=op.f('pk_ingestion_queue'))
    )
    op.create_index('ix_ingestion_queue_available_at', 'ingestion_queue', ['tenant_id', 'available_at', 'job_id'], unique=False)
    op.create_table('ingestion_turns',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('served_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_ingestion_turns_tenant', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', name=op.f('pk_ingestion_turns'))
    )
    op.create_table('resync_schedule',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('counted_from', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_run_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_resync_schedule_tenant', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', name=op.f('pk_resync_schedule'))
    )
    for table in ('ingestion_batches', 'ingestion_jobs', 'ingestion_items', 'ingestion_logs', 'ingestion_queries', 'ingestion_query_works'):
        for statement in row_level_security(table):
            op.execute(statement)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ingestion_queue TO library_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ingestion_turns TO library_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON resync_schedule TO library_app")


def downgrade() -> None:
    """Drop them."""
    op.drop_table("resync_schedule")
    op.drop_table("ingestion_turns")
    op.drop_table("ingestion_queue")
    op.drop_table("ingestion_query_works")
    op.drop_table("ingestion_queries")
    op.drop_table("ingestion_logs")
    op.drop_table("ingestion_items")
    op.drop_table("ingestion_jobs")
    op.drop_table("ingestion_batches")
