"""People and their sign-in, groups, mails to be sent, and the chain of the audit trail."""

import sqlalchemy as sa
from alembic import op

from migrations.walls import row_level_security

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table('event_seals',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False),
    sa.Column('event_id', sa.Uuid(), nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.Column('sealed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint('position > 0', name=op.f('ck_event_seals_position')),
    sa.PrimaryKeyConstraint('tenant_id', 'position', name=op.f('pk_event_seals')),
    sa.UniqueConstraint('tenant_id', 'event_id', name='uq_event_seals_event')
    )
    op.create_table('unsealed_events',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('event_id', sa.Uuid(), nullable=False),
    sa.PrimaryKeyConstraint('tenant_id', 'event_id', name=op.f('pk_unsealed_events'))
    )
    op.create_table('mail_queue',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('subject_id', sa.Uuid(), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint('attempts >= 0', name=op.f('ck_mail_queue_attempts')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_mail_queue_tenant', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'kind', 'subject_id', name=op.f('pk_mail_queue'))
    )
    op.create_index('ix_mail_queue_due', 'mail_queue', ['due_at'], unique=False)
    op.create_table('used_id_tokens',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('token_hash', sa.LargeBinary(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_used_id_tokens_tenant'),
    sa.PrimaryKeyConstraint('tenant_id', 'token_hash', name=op.f('pk_used_id_tokens'))
    )
    op.create_index('ix_used_id_tokens_expires_at', 'used_id_tokens', ['tenant_id', 'expires_at'], unique=False)
    op.create_table('users',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('email_hash', sa.LargeBinary(), nullable=True),
    sa.Column('username_hash', sa.LargeBinary(), nullable=True),
    sa.Column('sealed_profile', sa.LargeBinary(), nullable=False),
    sa.Column('key_id', sa.Text(), nullable=False),
    sa.Column('password_hash', sa.Text(), nullable=True),
    sa.Column('is_active', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('email_verified_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('sessions_valid_from', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_login_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("type <> 'student' OR username_hash IS NOT NULL", name=op.f('ck_users_student_username')),
    sa.CheckConstraint("type IN ('staff', 'reader', 'student', 'guardian')", name=op.f('ck_users_type')),
    sa.CheckConstraint('length(email_hash) = 32 AND length(username_hash) = 32', name=op.f('ck_users_hashes')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_users_tenant'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_users')),
    sa.UniqueConstraint('tenant_id', 'email_hash', name='uq_users_email'),
    sa.UniqueConstraint('tenant_id', 'username_hash', name='uq_users_username')
    )
    op.create_index('ix_users_created_at', 'users', ['tenant_id', 'created_at', 'id'], unique=False)
    op.create_index('ix_users_key', 'users', ['tenant_id', 'key_id', 'id'], unique=False)
    op.create_index('ix_users_type', 'users', ['tenant_id', 'type', 'created_at', 'id'], unique=False)
    op.create_table('guardians',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id', 'id'], ['users.tenant_id', 'users.id'], name='fk_guardians_user', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_guardians'))
    )
    op.create_table('readers',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('reading_ability', sa.Text(), nullable=True),
    sa.Column('min_age', sa.Integer(), nullable=True),
    sa.Column('max_age', sa.Integer(), nullable=True),
    sa.CheckConstraint("reading_ability IN ('emergent', 'early', 'transitional', 'self_extending', 'advanced')", name=op.f('ck_readers_reading_ability')),
    sa.CheckConstraint('min_age <= max_age', name=op.f('ck_readers_age_range')),
    sa.CheckConstraint('min_age BETWEEN 0 AND 120 AND max_age BETWEEN 0 AND 120', name=op.f('ck_readers_ages')),
    sa.ForeignKeyConstraint(['tenant_id', 'id'], ['users.tenant_id', 'users.id'], name='fk_readers_user', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_readers'))
    )
    op.create_table('staff',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.CheckConstraint("role IN ('platform_admin', 'admin', 'librarian', 'educator')", name=op.f('ck_staff_role')),
    sa.ForeignKeyConstraint(['tenant_id', 'id'], ['users.tenant_id', 'users.id'], name='fk_staff_user', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_staff'))
    )
    op.create_index('ix_staff_role', 'staff', ['tenant_id', 'role', 'id'], unique=False)
    op.create_table('magic_links',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=True),
    sa.Column('token_hash', sa.LargeBinary(), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint('(token_hash IS NULL) = (expires_at IS NULL)', name=op.f('ck_magic_links_token')),
    sa.ForeignKeyConstraint(['tenant_id', 'user_id'], ['users.tenant_id', 'users.id'], name='fk_magic_links_user', ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_magic_links_tenant'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_magic_links')),
    sa.UniqueConstraint('tenant_id', 'token_hash', name='uq_magic_links_token')
    )
    op.create_index('ix_magic_links_created_at', 'magic_links', ['tenant_id', 'created_at'], unique=False)
    op.create_index('ix_magic_links_user', 'magic_links', ['tenant_id', 'user_id'], unique=False)
    op.create_table('user_name_prefixes',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('prefix_hash', sa.BigInteger(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id', 'user_id'], ['users.tenant_id', 'users.id'], name='fk_user_name_prefixes_user', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'prefix_hash', 'user_id', name=op.f('pk_user_name_prefixes'))
    )
    op.create_index('ix_user_name_prefixes_user', 'user_name_prefixes', ['tenant_id', 'user_id'], unique=False)
    op.create_table('user_sessions',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('method', sa.Text(), nullable=False),
    sa.Column('rotation', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('rotated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("method IN ('password', 'magic_link', 'oidc', 'join_code', 'registration', 'command')", name=op.f('ck_user_sessions_method')),
    sa.CheckConstraint('rotation >= 0', name=op.f('ck_user_sessions_rotation')),
    sa.ForeignKeyConstraint(['tenant_id', 'user_id'], ['users.tenant_id', 'users.id'], name='fk_user_sessions_user', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_user_sessions'))
    )
    op.create_index('ix_user_sessions_expires_at', 'user_sessions', ['tenant_id', 'expires_at'], unique=False)
    op.create_index('ix_user_sessions_user', 'user_sessions', ['tenant_id', 'user_id', 'created_at'], unique=False)
    op.create_table('groups',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('owner_id', sa.Uuid(), nullable=True),
    sa.Column('join_code_hash', sa.LargeBinary(), nullable=True),
    sa.Column('join_code_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint('(join_code_hash IS NULL) = (join_code_expires_at IS NULL)', name=op.f('ck_groups_join_code')),
    sa.CheckConstraint('length(description) <= 2000', name=op.f('ck_groups_description')),
    sa.CheckConstraint('length(name) BETWEEN 1 AND 200', name=op.f('ck_groups_name')),
    sa.ForeignKeyConstraint(['tenant_id', 'owner_id'], ['staff.tenant_id', 'staff.id'], name='fk_groups_owner', ondelete='SET NULL (owner_id)'),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_groups_tenant'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_groups')),
    sa.UniqueConstraint('tenant_id', 'join_code_hash', name='uq_groups_join_code')
    )
    op.create_index('ix_groups_created_at', 'groups', ['tenant_id', 'created_at', 'id'], unique=False)
    op.create_index('ix_groups_owner', 'groups', ['tenant_id', 'owner_id', 'created_at', 'id'], unique=False)
    op.create_table('guardian_readers',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('guardian_id', sa.Uuid(), nullable=False),
    sa.Column('reader_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id', 'guardian_id'], ['guardians.tenant_id', 'guardians.id'], name='fk_guardian_readers_guardian', ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['tenant_id', 'reader_id'], ['readers.tenant_id', 'readers.id'], name='fk_guardian_readers_reader', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'guardian_id', 'reader_id', name=op.f('pk_guardian_readers'))
    )
    op.create_index('ix_guardian_readers_reader', 'guardian_readers', ['tenant_id', 'reader_id'], unique=False)
    op.create_table('group_members',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('group_id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id', 'group_id'], ['groups.tenant_id', 'groups.id'], name='fk_group_members_group', ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['tenant_id', 'user_id'], ['readers.tenant_id', 'readers.id'], name='fk_group_members_reader', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'group_id', 'user_id', name=op.f('pk_group_members'))
    )
    op.create_index('ix_group_members_user', 'group_members', ['tenant_id', 'user_id'], unique=False)
    op.create_table('students',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('joined_group_id', sa.Uuid(), nullable=True),
    sa.ForeignKeyConstraint(['tenant_id', 'id'], ['readers.tenant_id', 'readers.id'], name='fk_students_reader', ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['tenant_id', 'joined_group_id'], ['groups.tenant_id', 'groups.id'], name='fk_students_group', ondelete='SET NULL (joined_group_id)'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_students'))
    )
    op.create_index('ix_students_group', 'students', ['tenant_id', 'joined_group_id'], unique=False)
    op.create_index('ix_events_actor', 'events', ['tenant_id', 'actor_id', 'at'], unique=False)
    op.alter_column('events', 'type', type_=sa.Text(collation='C'))
    op.create_index('ix_events_type', 'events', ['tenant_id', 'type', 'at', 'id'], unique=False)
    op.create_index('ix_events_level', 'events', ['tenant_id', 'level', 'at', 'id'], unique=False, postgresql_where=sa.text("level <> 'info'"))
    op.add_column("idempotency_keys", sa.Column("person_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        "fk_idempotency_keys_person", "idempotency_keys", "users",
        ["tenant_id", "person_id"], ["tenant_id", "id"], ondelete="CASCADE",
    )
    op.create_index("ix_idempotency_keys_person", "idempotency_keys", ["tenant_id", "person_id"], unique=False)
    for table in (
        "users", "staff", "readers", "students", "guardians", "guardian_readers", "groups", "group_members",
        "user_name_prefixes", "user_sessions", "magic_links", "used_id_tokens",
    ):
        for statement in row_level_security(table):
            op.execute(statement)
    # Append-only, as the events are.
    for statement in row_level_security("event_seals", rights="SELECT, INSERT"):
        op.execute(statement)
    for table in ("unsealed_events", "mail_queue"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO library_app")
    op.execute("INSERT INTO unsealed_events (tenant_id, event_id) SELECT tenant_id, id FROM events")
    op.execute("ANALYZE unsealed_events")


def downgrade() -> None:
    """Drop them."""
    op.drop_column("idempotency_keys", "person_id")
    op.drop_index("ix_events_level", table_name="events")
    op.drop_index("ix_events_type", table_name="events")
    op.alter_column("events", "type", type_=sa.Text())
    op.drop_index("ix_events_actor", table_name="events")
    for table in (
        "students", "group_members", "guardian_readers", "groups", "user_sessions", "magic_links", "user_name_prefixes",
        "staff", "readers", "guardians", "users", "used_id_tokens", "mail_queue", "unsealed_events", "event_seals",
    ):
        op.drop_table(table)
