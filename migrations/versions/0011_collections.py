"""Collections with their items, and the counts of copies that books have of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import row_level_security

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Items counted without an edition that is on its way in, and an edition without items that are, would go by each other
# unseen. So whoever changes listed items holds this lock of the tenant alone, and whoever changes editions shares it
# with others who do.
_HOLD_COUNTS = """
CREATE FUNCTION hold_counts(tenant uuid, alone boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    number bigint := hashtextextended('counts of ' || tenant, 0);
BEGIN
    IF alone THEN
        PERFORM pg_advisory_xact_lock(number);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(number);
    END IF;
END
$$
"""

# Items of a person's own collection count nowhere.
_ROWS = {
    "collection_items": "SELECT tenant_id, isbn, {sign}copies_total, {sign}copies_available FROM {source} WHERE NOT is_owned",
    "editions": "SELECT tenant_id, isbn, book_id, {sign}1 FROM {source} WHERE isbn IS NOT NULL",
}
_COUNT = {
    "collection_items": """
        SELECT edition.book_id, sum(moved.total) AS total, sum(moved.available) AS available
        FROM ({moved}) AS moved (tenant_id, isbn, total, available)
        JOIN editions AS edition ON edition.isbn = moved.isbn
        WHERE moved.tenant_id = owner AND edition.tenant_id = owner AND edition.isbn = ANY (isbns)
        GROUP BY edition.book_id""",
    # An ISBN brings what is held of it, and takes it along; one that stays where it was comes and goes at once.
    "editions": """
        SELECT moved.book_id, sum(moved.sign * item.copies_total) AS total, sum(moved.sign * item.copies_available) AS available
        FROM ({moved}) AS moved (tenant_id, isbn, book_id, sign)
        JOIN collection_items AS item ON item.isbn = moved.isbn
        WHERE moved.tenant_id = owner AND item.tenant_id = owner AND item.isbn = ANY (isbns) AND NOT item.is_owned
        GROUP BY moved.book_id""",
}
_FOUND = "DELETE FROM wanted_isbns WHERE tenant_id = owner AND isbn = ANY (isbns);"
_SOURCES = {"INSERT": ("come",), "UPDATE": ("come", "gone"), "DELETE": ("gone",)}
_SIGNS = {"come": "", "gone": "-"}
_REFERENCES = {"come": "NEW TABLE AS come", "gone": "OLD TABLE AS gone"}


def _counting(table: str, event: str) -> list[str]:
    """The trigger that keeps the counts of books when rows of a table come, change or go; its function first."""
    name, sources = f"count_{table}_{event.lower()}", _SOURCES[event]
    moved = " UNION ALL ".join(_ROWS[table].format(sign=_SIGNS[source], source=source) for source in sources)
    alone = str(table == "collection_items").lower()
    found = _FOUND if table == "editions" and "come" in sources else ""
    return [
        # One row or fifty thousand, and whatever PostgreSQL's statistics know of a tenant: no side is gone through again
        # and again for the other's sake, as in a loop that was planned for a few rows. So there are no loops, and what
        # leads to the rows that are concerned is an array, known when the statement is planned: by the right index it
        # is looked up, by a wrong one it is a hash.
        f"""
        CREATE FUNCTION {name}() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
        SET enable_nestloop = off SET enable_seqscan = off SET plan_cache_mode = force_custom_plan AS $$
        DECLARE
            owner uuid;
            isbns text[];
            ids uuid[];
            totals bigint[];
            availables bigint[];
        BEGIN
            FOR owner IN SELECT DISTINCT tenant_id FROM ({moved}) AS moved ORDER BY tenant_id LOOP
                PERFORM hold_counts(owner, {alone});
                isbns := ARRAY (SELECT DISTINCT isbn FROM ({moved}) AS moved WHERE tenant_id = owner);
                SELECT array_agg(book_id), array_agg(total), array_agg(available) INTO ids, totals, availables
                FROM ({_COUNT[table].format(moved=moved)}
                ) AS counted
                WHERE total <> 0 OR available <> 0;
                UPDATE books
                SET listed_total = books.listed_total + counted.total,
                    listed_available = books.listed_available + counted.available
                FROM unnest(ids, totals, availables) AS counted (id, total, available)
                WHERE books.tenant_id = owner AND books.id = ANY (ids) AND books.id = counted.id;
                {found}
            END LOOP;
            RETURN NULL;
        END
        $$
        """,
        f"CREATE TRIGGER {name} AFTER {event} ON {table}"
        f" REFERENCING {' '.join(_REFERENCES[source] for source in sources)}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
    ]


_COUNTING = [(table, event) for table in ("collection_items", "editions") for event in _SOURCES]


def upgrade() -> None:
    """Make the tables, give books their counts, and let triggers keep them."""
    op.create_table('collections',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('owner_id', sa.Uuid(), nullable=True),
    sa.Column('is_owned', sa.Boolean(), sa.Computed('owner_id IS NOT NULL', persisted=True), nullable=False),
    sa.Column('synced_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint('length(description) <= 2000', name=op.f('ck_collections_description')),
    sa.CheckConstraint('length(name) BETWEEN 1 AND 200', name=op.f('ck_collections_name')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_collections_tenant'),
    sa.ForeignKeyConstraint(['tenant_id', 'owner_id'], ['users.tenant_id', 'users.id'], name='fk_collections_owner', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_collections')),
    sa.UniqueConstraint('tenant_id', 'id', 'is_owned', name='uq_collections_is_owned')
    )
    op.create_index('ix_collections_created_at', 'collections', ['tenant_id', 'created_at', 'id'], unique=False)
    op.create_index('ix_collections_name', 'collections', ['tenant_id', 'name', 'id'], unique=False)
    op.create_index('ix_collections_owner', 'collections', ['tenant_id', 'owner_id', 'created_at', 'id'], unique=False)
    op.create_table('collection_items',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('collection_id', sa.Uuid(), nullable=False),
    sa.Column('isbn', sa.Text(), nullable=False),
    sa.Column('is_owned', sa.Boolean(), nullable=False),
    sa.Column('copies_total', sa.Integer(), nullable=False),
    sa.Column('copies_available', sa.Integer(), nullable=False),
    sa.Column('info', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("isbn ~ '^97[89][0-9]{10}$'", name=op.f('ck_collection_items_isbn')),
    sa.CheckConstraint('0 <= copies_available AND copies_available <= copies_total', name=op.f('ck_collection_items_copies')),
    sa.CheckConstraint('copies_total <= 1000000', name=op.f('ck_collection_items_most_copies')),
    sa.ForeignKeyConstraint(['tenant_id', 'collection_id', 'is_owned'], ['collections.tenant_id', 'collections.id', 'collections.is_owned'], name='fk_collection_items_collection', onupdate='CASCADE', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'collection_id', 'isbn', name=op.f('pk_collection_items'))
    )
    op.create_index('ix_collection_items_isbn', 'collection_items', ['tenant_id', 'isbn'], unique=False)
    op.create_table('wanted_isbns',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('isbn', sa.Text(), nullable=False),
    sa.Column('wanted_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('asked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('due_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("isbn ~ '^97[89][0-9]{10}$'", name=op.f('ck_wanted_isbns_isbn')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_wanted_isbns_tenant', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'isbn', name=op.f('pk_wanted_isbns'))
    )
    op.create_index('ix_wanted_isbns_due_at', 'wanted_isbns', ['tenant_id', 'due_at', 'isbn'], unique=False)
    op.create_table('enrichment_schedule',
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_enrichment_schedule_tenant', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', name=op.f('pk_enrichment_schedule'))
    )
    for table in ('collections', 'collection_items', 'wanted_isbns'):
        for statement in row_level_security(table):
            op.execute(statement)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON enrichment_schedule TO library_app")
    _give_books_their_counts()
    op.execute(_HOLD_COUNTS)
    for table, event in _COUNTING:
        for statement in _counting(table, event):
            op.execute(statement)
    op.drop_constraint(op.f('ck_ingestion_jobs_trigger'), 'ingestion_jobs', type_='check')
    op.create_check_constraint(op.f('ck_ingestion_jobs_trigger'), 'ingestion_jobs', "trigger IN ('api', 'resync', 'enrichment')")


def _give_books_their_counts() -> None:
    # Nothing has written the counts so far. A constraint and an index go with the columns that they are of.
    op.drop_column('books', 'copies_available')
    op.drop_column('books', 'copies_total')
    for name in ('listed_total', 'listed_available', 'barcoded_total', 'barcoded_available'):
        op.add_column('books', sa.Column(name, sa.BigInteger(), server_default=sa.text('0'), nullable=False))
    for count in ('total', 'available'):
        either = f'CASE WHEN barcoded_total > 0 THEN barcoded_{count} ELSE listed_{count} END'
        op.add_column('books', sa.Column(f'copies_{count}', sa.BigInteger(), sa.Computed(either, persisted=True), nullable=False))
    for kind in ('listed', 'barcoded', 'copies'):
        rule = f'0 <= {kind}_available AND {kind}_available <= {kind}_total'
        op.create_check_constraint(op.f(f'ck_books_{kind}'), 'books', rule)
    op.create_index('ix_books_available', 'books', ['tenant_id', 'created_at', 'id'], unique=False, postgresql_where=sa.text('copies_available > 0'))


def downgrade() -> None:
    """Take all of it away; books have no copies then."""
    op.execute("DELETE FROM ingestion_jobs WHERE trigger = 'enrichment'")
    op.drop_constraint(op.f('ck_ingestion_jobs_trigger'), 'ingestion_jobs', type_='check')
    op.create_check_constraint(op.f('ck_ingestion_jobs_trigger'), 'ingestion_jobs', "trigger IN ('api', 'resync')")
    for table, event in _COUNTING:
        op.execute(f"DROP FUNCTION count_{table}_{event.lower()}() CASCADE")
    op.execute("DROP FUNCTION hold_counts(uuid, boolean)")
    op.drop_table("enrichment_schedule")
    op.drop_table("wanted_isbns")
    op.drop_table("collection_items")
    op.drop_table("collections")
    for count in ('copies_available', 'copies_total', 'listed_available', 'listed_total', 'barcoded_available', 'barcoded_total'):
        op.drop_column('books', count)
    for count in ('copies_total', 'copies_available'):
        op.add_column('books', sa.Column(count, sa.Integer(), server_default=sa.text('0'), nullable=False))
    op.create_check_constraint(op.f('ck_books_copies'), 'books', '0 <= copies_available AND copies_available <= copies_total')
    op.create_index('ix_books_available', 'books', ['tenant_id', 'created_at', 'id'], unique=False, postgresql_where=sa.text('copies_available > 0'))
