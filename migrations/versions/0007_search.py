"""Search: word vectors behind functions, a dictionary for typing errors, and the indexes of rarer filters.

Row-level security keeps PostgreSQL from using an inverted index, because the operators behind it are not leakproof. So
the vectors stand in a table of their own that the application's role has no right on, and two functions with the
rights of the tables' owner are the only way in. They take the tenant from `app.tenant_id`, as the policies do, and
never as an argument: what row-level security promises holds here as well.

Every word of a vector begins with its tenant's six letters. A tenant's words are so keys of their own in the index, and
a search, of a prefix too, reads nothing of another tenant's. Should two tenants share the letters (one chance in 16
million), the comparison of `tenant_id` keeps them apart.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_FUNCTIONS = (
    "search_books(text[], boolean, integer)",
    "index_books(jsonb)",
    "search_neighbours(text, text)",
    "search_form(text, text, boolean)",
    "search_vector(text, text, text)",
    "search_key(uuid)",
    "differ_by_a_slip(text, text)",
    "one_letter_less(text)",
)


def upgrade() -> None:
    """Make tables, indexes and functions."""
    _make_tables()
    for statement in (*_PARTS, _INDEX_BOOKS, _NEIGHBOURS, _SEARCH_BOOKS):
        op.execute(statement)
    for function in _FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    for function in _FUNCTIONS[:2]:
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO library_app")
    _make_indexes_of_filters()


def _make_tables() -> None:
    op.create_table(
        "book_search",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("book_id", sa.Uuid(), nullable=False),
        sa.Column("title_words", sa.SmallInteger(), nullable=False),
        sa.Column("vector", TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "book_id"], ["books.tenant_id", "books.id"], name="fk_book_search_book", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "book_id", name="pk_book_search"),
    )
    # A short list of what is not yet merged: every search has to read through it.
    op.execute(
        "CREATE INDEX ix_book_search_vector ON book_search USING gin (vector) WITH (gin_pending_list_limit = 256)"
    )
    # No unique keys: two transactions that meet the same unknown word at once both write it, and neither waits for the
    # other, so that no order of their statements can make a deadlock. Readers take each word once.
    op.create_table("search_words", sa.Column("word", sa.Text(collation="C"), nullable=False))
    op.create_index("ix_search_words", "search_words", ["word"])
    op.create_table(
        "search_deletions",
        sa.Column("deletion", sa.Text(collation="C"), nullable=False),
        sa.Column("word", sa.Text(collation="C"), nullable=False),
    )
    op.create_index("ix_search_deletions", "search_deletions", ["deletion", "word"])
    for table in ("book_search", "search_words", "search_deletions"):
        op.execute(f"REVOKE ALL ON {table} FROM PUBLIC, library_app")


_PARTS = (
    # The letters before each word of a tenant.
    """
    CREATE FUNCTION search_key(tenant uuid) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT translate(left(md5(tenant::text), 6), '0123456789abcdef', 'abcdefghijklmnop')
    $$
    """,
    # A word as a tsvector or tsquery spells it: quoted, whatever is in it.
    r"""
    CREATE FUNCTION search_form(key text, word text, as_prefix boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT '''' || key || replace(replace(word, '\', '\\'), '''', '''''') || ''''
            || CASE WHEN as_prefix THEN ':*' ELSE '' END
    $$
    """,
    # The vector of words that single spaces part. Of more than 2 000 the rest is left out: a tsvector takes one megabyte.
    """
    CREATE FUNCTION search_vector(key text, words text, weight text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT coalesce(
            string_agg(search_form(key, word, false) || ':' || n || weight, ' '), ''
        )::tsvector
        FROM string_to_table(words, ' ') WITH ORDINALITY AS w (word, n)
        WHERE word <> '' AND n <= 2000
    $$
    """,
    # A word without its first letter, without its second, and so on.
    """
    CREATE FUNCTION one_letter_less(word text) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT DISTINCT left(word, n - 1) || substr(word, n + 1) FROM generate_series(1, length(word)) AS n
    $$
    """,
    # True for words of one length that differ in one letter, or in two neighbours that changed places.
    """
    CREATE FUNCTION differ_by_a_slip(one text, other text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT count(*) = 1
            OR count(*) = 2 AND max(n) = min(n) + 1 AND substr(one, min(n), 2) = reverse(substr(other, min(n), 2))
        FROM generate_series(1, length(one)) AS n
        WHERE substr(one, n, 1) <> substr(other, n, 1)
    $$
    """,
)

# Takes [{"id", "title", "authors", "others"}], the texts being words that single spaces part.
_INDEX_BOOKS = """
CREATE FUNCTION index_books(given jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    own uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
    key text := search_key(own);
BEGIN
    IF own IS NULL THEN
        RAISE EXCEPTION 'no tenant is set' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO book_search AS known (tenant_id, book_id, title_words, vector)
    SELECT own, book.id, least(greatest(cardinality(string_to_array(book.title, ' ')), 1), 1000),
        search_vector(key, book.title, 'A')
        || search_vector(key, book.authors, 'B')
        || search_vector(key, book.others, 'C')
    FROM jsonb_to_recordset(given) AS book (id uuid, title text, authors text, others text)
    ORDER BY book.id
    ON CONFLICT (tenant_id, book_id) DO UPDATE
    SET title_words = excluded.title_words, vector = excluded.vector
    WHERE known.vector <> excluded.vector;

    -- Numbers are not corrected: one is as right as the next. Nor is what is too short to tell or too long to be a word.
    WITH met AS (
        SELECT DISTINCT each.word COLLATE "C" AS word
        FROM jsonb_to_recordset(given) AS book (title text, authors text, others text),
            string_to_table(concat_ws(' ', book.title, book.authors, book.others), ' ') AS each (word)
        WHERE length(each.word) BETWEEN 3 AND 32 AND each.word !~ '[0-9]'
    ), unknown AS (
        INSERT INTO search_words (word)
        SELECT met.word FROM met WHERE NOT EXISTS (SELECT FROM search_words AS known WHERE known.word = met.word)
        RETURNING word
    )
    INSERT INTO search_deletions (deletion, word)
    SELECT one_letter_less(unknown.word), unknown.word FROM unknown;
END
$$
"""

# The words one slip away from `typed`: a letter too many, too few, another or two in each other's place. Of more than
# eight, those that the most of the tenant's own books have.
_NEIGHBOURS = """
CREATE FUNCTION search_neighbours(key text, typed text) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    shorter text[] := ARRAY(SELECT one_letter_less(typed));
    near text[] := ARRAY(
        SELECT word FROM search_words WHERE word = ANY (shorter)
        UNION
        SELECT word FROM search_deletions WHERE deletion = typed
        UNION
        SELECT word FROM search_deletions
        WHERE deletion = ANY (shorter) AND length(word) = length(typed) AND differ_by_a_slip(word, typed)
    );
BEGIN
    IF cardinality(near) <= 8 THEN
        RETURN near;
    END IF;
    RETURN ARRAY(
        SELECT word FROM unnest(near) AS word
        ORDER BY (
            SELECT count(*) FROM (
                SELECT FROM book_search WHERE vector @@ search_form(key, word, false)::tsquery LIMIT 1000
            ) AS books
        ) DESC, word
        LIMIT 8
    );
END
$$
"""

# Books that have all the words, best first by `score`, and the words they were found by. Typing errors are looked for
# only where nothing has the words as they are: first in words that no library's books have, then in those that only
# this library's lack.
_SEARCH_BOOKS = """
CREATE FUNCTION search_books(words text[], last_is_prefix boolean, at_most integer)
RETURNS TABLE (book_id uuid, score real, matched text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
-- The planner takes a common word's books for so many that it would rather read the whole table.
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    own uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
    key text := search_key(own);
    last integer := cardinality(array_remove(words, ''));
    forms text[] := '{}';
    whole text[] := '{}';
    all_words text[] := words;
    wrong integer[];
    near text[];
    query tsquery;
    exact tsquery;
BEGIN
    IF own IS NULL OR last = 0 THEN
        RETURN;
    END IF;
    words := array_remove(words, '');
    FOR n IN 1 .. last LOOP
        whole[n] := search_form(key, words[n], false);
        forms[n] := search_form(key, words[n], last_is_prefix AND n = last);
    END LOOP;
    exact := array_to_string(whole, ' & ');
    FOR attempt IN 0 .. 2 LOOP
        wrong := ARRAY(
            SELECT n FROM generate_series(1, last) AS n
            WHERE attempt > 0 AND length(words[n]) BETWEEN 3 AND 32 AND words[n] !~ '[0-9]'
                AND NOT EXISTS (SELECT FROM search_words WHERE word = words[n] AND attempt = 1)
                AND NOT EXISTS (SELECT FROM book_search WHERE vector @@ forms[n]::tsquery AND attempt = 2)
        );
        CONTINUE WHEN attempt > 0 AND wrong = '{}';
        FOR n IN 1 .. cardinality(wrong) LOOP
            near := search_neighbours(key, words[wrong[n]]);
            all_words := all_words || near;
            forms[wrong[n]] := concat_ws(
                ' | ', forms[wrong[n]], (SELECT string_agg(search_form(key, word, false), ' | ') FROM unnest(near) AS word)
            );
        END LOOP;
        query := '(' || array_to_string(forms, ') & (') || ')';
        RETURN QUERY
            SELECT book_id,
                -- Short titles before long ones, words before beginnings of words.
                (ts_rank(vector, query) * (1 + 1.0 / title_words) * CASE WHEN vector @@ exact THEN 2 ELSE 1 END)::real,
                all_words
            FROM book_search
            -- No index answers this comparison, so the one on the words is never passed over for the primary key's.
            WHERE vector @@ query AND tenant_id IS NOT DISTINCT FROM own
            LIMIT at_most;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
END
$$
"""


def _make_indexes_of_filters() -> None:
    """What is rare among a tenant's books is found without reading through all of them in the list's order."""
    # Kind and term depend on each other; taken as independent, a common language looks like a rare one.
    op.execute("CREATE STATISTICS st_book_terms (mcv) ON tenant_id, kind, term FROM book_terms")
    op.execute("ALTER STATISTICS st_book_terms SET STATISTICS 1000")
    op.create_index("ix_books_source", "books", ["tenant_id", "source", "created_at", "id"])
    op.create_index(
        "ix_books_available",
        "books",
        ["tenant_id", "created_at", "id"],
        postgresql_where=sa.text("copies_available > 0"),
    )
    op.create_index(
        "ix_books_labelled", "books", ["tenant_id", "created_at", "id"], postgresql_where=sa.text("labels IS NOT NULL")
    )


def downgrade() -> None:
    """Drop them all."""
    op.execute("DROP STATISTICS st_book_terms")
    for index in ("ix_books_labelled", "ix_books_available", "ix_books_source"):
        op.drop_index(index, "books")
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    for table in ("search_deletions", "search_words", "book_search"):
        op.drop_table(table)
