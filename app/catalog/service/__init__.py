"""Commands on the catalogue.

`works` records what Open Library tells, `merges` follows it where two works became one, `books` does what librarians do
by hand and `versions` compares and brings back what a book said before. `wanted` keeps the ISBNs that are to be looked
up. `content` decides without a database what changes; `states`, `authorship`, `editions` and `search` write it set by
set, while `counts` holds the numbers of copies still.
"""

from __future__ import annotations

from app.catalog.service.books import create_book, delete_book, follow_removals, update_book
from app.catalog.service.counts import hold_counts
from app.catalog.service.errors import BookInUse, IsbnTaken
from app.catalog.service.merges import follow_merges, record_redirects
from app.catalog.service.versions import restore_version, version_diff
from app.catalog.service.wanted import take_wanted_isbns, want_again, want_isbns, want_no_more
from app.catalog.service.works import RecordedAction, RecordedWork, lock_works, mark_deleted_upstream, record_works

__all__ = [
    "BookInUse",
    "IsbnTaken",
    "RecordedAction",
    "RecordedWork",
    "create_book",
    "delete_book",
    "follow_merges",
    "follow_removals",
    "hold_counts",
    "lock_works",
    "mark_deleted_upstream",
    "record_redirects",
    "record_works",
    "restore_version",
    "take_wanted_isbns",
    "update_book",
    "version_diff",
    "want_again",
    "want_isbns",
    "want_no_more",
]
