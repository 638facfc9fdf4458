"""The catalogue."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import row_level_security

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table('books',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('subtitle', sa.Text(), nullable=True),
    sa.Column('authors', postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('contributors', postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('first_publish_year', sa.Integer(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('subjects', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('languages', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('publishers', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('isbns', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('page_count', sa.Integer(), nullable=True),
    sa.Column('cover_id', sa.Integer(), nullable=True),
    sa.Column('series', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('open_library_key', sa.Text(), nullable=True),
    sa.Column('upstream_status', sa.Text(), nullable=True),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('labels', postgresql.JSONB(), nullable=True),
    sa.Column('copies_total', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('copies_available', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('times_borrowed', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('version', sa.Integer(), server_default=sa.text('1'), nullable=False),
    sa.Column('overrides', postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('source_fields', postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('editions_hash', sa.LargeBinary(), nullable=True),
    sa.Column('sort_title', sa.Text(collation='C'), nullable=False),
    sa.Column('sort_year', sa.Integer(), sa.Computed('coalesce(first_publish_year, -9999)', persisted=True), nullable=False),
    sa.Column('checked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("open_library_key ~ '^OL[0-9]{1,12}W$'", name=op.f('ck_books_open_library_key')),
    sa.CheckConstraint("source IN ('open_library', 'manual', 'import')", name=op.f('ck_books_source')),
    sa.CheckConstraint("upstream_status IN ('live', 'deleted')", name=op.f('ck_books_upstream_status')),
    sa.CheckConstraint('(upstream_status IS NULL) = (open_library_key IS NULL)', name=op.f('ck_books_upstream_has_key')),
    sa.CheckConstraint('0 <= copies_available AND copies_available <= copies_total', name=op.f('ck_books_copies')),
    sa.CheckConstraint('first_publish_year > -9999', name=op.f('ck_books_first_publish_year')),
    sa.CheckConstraint('length(title) BETWEEN 1 AND 1000', name=op.f('ck_books_title')),
    sa.CheckConstraint('times_borrowed >= 0', name=op.f('ck_books_times_borrowed')),
    sa.CheckConstraint('version >= 1', name=op.f('ck_books_version')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_books_tenant'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_books')),
    sa.UniqueConstraint('tenant_id', 'open_library_key', name='uq_books_open_library_key')
    )
    op.create_index('ix_books_created_at', 'books', ['tenant_id', 'created_at', 'id'], unique=False)
    op.create_index('ix_books_sort_title', 'books', ['tenant_id', 'sort_title', 'id'], unique=False)
    op.create_index('ix_books_sort_year', 'books', ['tenant_id', 'sort_year', 'id'], unique=False)
    op.create_index('ix_books_times_borrowed', 'books', ['tenant_id', 'times_borrowed', 'id'], unique=False)
    op.create_table('book_versions',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('book_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('origin', sa.Text(), nullable=False),
    sa.Column('changed_fields', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('snapshot', postgresql.JSONB(), nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('actor_kind', sa.Text(), nullable=False),
    sa.Column('actor_id', sa.Uuid(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("origin IN ('open_library', 'manual', 'redirect', 'restore', 'import')", name=op.f('ck_book_versions_origin')),
    sa.CheckConstraint('number >= 1', name=op.f('ck_book_versions_number')),
    sa.ForeignKeyConstraint(['tenant_id', 'book_id'], ['books.tenant_id', 'books.id'], name='fk_book_versions_book', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'book_id', 'number', name=op.f('pk_book_versions'))
    )
    op.create_table('editions',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('book_id', sa.Uuid(), nullable=False),
    sa.Column('isbn', sa.Text(), nullable=True),
    sa.Column('open_library_key', sa.Text(), nullable=True),
    sa.Column('title', sa.Text(), nullable=True),
    sa.Column('subtitle', sa.Text(), nullable=True),
    sa.Column('publishers', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('publish_date', sa.Text(), nullable=True),
    sa.Column('publish_year', sa.Integer(), nullable=True),
    sa.Column('languages', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('page_count', sa.Integer(), nullable=True),
    sa.Column('physical_format', sa.Text(), nullable=True),
    sa.Column('cover_id', sa.Integer(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("isbn ~ '^97[89][0-9]{10}$'", name=op.f('ck_editions_isbn')),
    sa.CheckConstraint('isbn IS NOT NULL OR open_library_key IS NOT NULL', name=op.f('ck_editions_has_name')),
    sa.ForeignKeyConstraint(['tenant_id', 'book_id'], ['books.tenant_id', 'books.id'], name='fk_editions_book', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_editions')),
    sa.UniqueConstraint('tenant_id', 'isbn', name='uq_editions_isbn')
    )
    op.create_index('ix_editions_book', 'editions', ['tenant_id', 'book_id', 'id'], unique=False)
    op.create_index('uq_editions_key_without_isbn', 'editions', ['tenant_id', 'open_library_key'], unique=True, postgresql_where=sa.text('isbn IS NULL'))
    op.create_table('authors',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('sort_name', sa.Text(collation='C'), nullable=False),
    sa.Column('open_library_key', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("open_library_key ~ '^OL[0-9]{1,12}A$'", name=op.f('ck_authors_open_library_key')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_authors_tenant'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_authors')),
    sa.UniqueConstraint('tenant_id', 'open_library_key', name='uq_authors_open_library_key')
    )
    op.create_index('ix_authors_sort_name', 'authors', ['tenant_id', 'sort_name', 'id'], unique=False)
    op.create_index('uq_authors_name_without_key', 'authors', ['tenant_id', 'sort_name'], unique=True, postgresql_where=sa.text('open_library_key IS NULL'))
    op.create_table('book_authors',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('book_id', sa.Uuid(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('author_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id', 'author_id'], ['authors.tenant_id', 'authors.id'], name='fk_book_authors_author'),
    sa.ForeignKeyConstraint(['tenant_id', 'book_id'], ['books.tenant_id', 'books.id'], name='fk_book_authors_book', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'book_id', 'position', name=op.f('pk_book_authors')),
    sa.UniqueConstraint('tenant_id', 'author_id', 'book_id', name='uq_book_authors_author')
    )
    op.create_table('book_terms',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('term', sa.Text(collation='C'), nullable=False),
    sa.Column('book_id', sa.Uuid(), nullable=False),
    sa.Column('display', sa.Text(), nullable=False),
    sa.CheckConstraint("kind IN ('author', 'author_key', 'author_word', 'contributor', 'series', 'subject', 'language', 'isbn', 'publisher')", name=op.f('ck_book_terms_kind')),
    sa.PrimaryKeyConstraint('tenant_id', 'kind', 'term', 'book_id', name=op.f('pk_book_terms'))
    )
    op.create_index('ix_book_terms_book', 'book_terms', ['tenant_id', 'book_id'], unique=False)
    op.create_table('book_aliases',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('alias', sa.Text(), nullable=False),
    sa.Column('book_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id', 'book_id'], ['books.tenant_id', 'books.id'], name='fk_book_aliases_book', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'alias', name=op.f('pk_book_aliases'))
    )
    op.create_index('ix_book_aliases_book', 'book_aliases', ['tenant_id', 'book_id'], unique=False)
    for table in ('books', 'book_versions', 'editions', 'authors', 'book_authors', 'book_terms', 'book_aliases'):
        # A version is never changed, and goes only with its book, by the cascade, which the owner's rights carry out.
        rights = "SELECT, INSERT" if table == "book_versions" else "SELECT, INSERT, UPDATE, DELETE"
        for statement in row_level_security(table, rights=rights):
            op.execute(statement)
    # Instead of a foreign key, which would be checked for each of a book's dozens of terms: half the time of recording
    # works went there. Terms are written by those who hold the book's lock; they go with their book by this trigger.
    op.execute(
        """
        CREATE FUNCTION forget_terms() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
        BEGIN
            DELETE FROM book_terms USING gone
            WHERE book_terms.tenant_id = gone.tenant_id AND book_terms.book_id = gone.id;
            RETURN NULL;
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER forget_terms AFTER DELETE ON books"
        " REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_terms()"
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("book_aliases")
    op.drop_table("book_terms")
    op.drop_table("book_authors")
    op.drop_table("authors")
    op.drop_table("editions")
    op.drop_table("book_versions")
    op.drop_table("books")
    op.execute("DROP FUNCTION forget_terms()")
