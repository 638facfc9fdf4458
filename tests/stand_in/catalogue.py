"""The records behind the stand-in: recorded ones, and those that a test adds, merges, deletes or edits."""

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.stand_in.queries import Condition, Indexed

Document = dict[str, Any]

RECORDED = Path(__file__).resolve().parent.parent / "data" / "openlibrary"
# Made-up keys are far above those the real site has given out.
_FIRST_MADE_UP = 900_000_000
_CREATED = {"type": "/type/datetime", "value": "2026-01-02T03:04:05.678901"}


class Catalogue:
    """Documents by path (`/works/OL1W`) and search hits by bare work key; safe to change while it is read."""

    def __init__(self, *, recorded: bool = True) -> None:
        """Begin with the recorded documents, or with nothing."""
        self.documents: dict[str, Document] = {}
        self.changes: list[Document] = []
        self._hits: dict[str, Indexed] = {}
        self._editions_of: dict[str, list[str]] = {}
        self._edition_by_isbn: dict[str, str] = {}
        self._found: dict[str, list[str]] = {}
        self._numbers = itertools.count(_FIRST_MADE_UP)
        self._lock = threading.RLock()
        if recorded:
            self._add_recorded()

    def document(self, path: str) -> Document | None:
        """Give the document under a path such as `/works/OL45804W`."""
        return self.documents.get(path)

    def search(self, question: str, conditions: Sequence[Condition]) -> list[str]:
        """Give the keys of the works that meet all conditions; `question` names the answer, which is remembered."""
        with self._lock:
            if question not in self._found:
                hits = list(self._hits.items())
                self._found[question] = [key for key, hit in hits if all(holds(hit) for holds in conditions)]
            return self._found[question]

    def hit(self, key: str) -> Document:
        """Give the full search document of a work."""
        return dict(self._hits[key].hit)

    def editions_of(self, work_key: str) -> list[Document]:
        """Give the edition documents of a work."""
        return [self.documents[path] for path in self._editions_of.get(work_key, [])]

    def edition_with(self, isbn: str) -> Document | None:
        """Give the edition that carries this ISBN in either form."""
        digits = "".join(letter for letter in isbn if letter.isalnum()).upper()
        path = self._edition_by_isbn.get(_isbn13(digits))
        return self.documents[path] if path is not None else None

    def works_of(self, author_key: str) -> list[Document]:
        """Give the work documents of an author."""
        wanted = f"/authors/{author_key}"
        return [
            document
            for document in list(self.documents.values())
            if document["type"]["key"] == "/type/work"
            and any(_author_path(entry) == wanted for entry in document.get("authors", []))
        ]

    def new_key(self, letter: str) -> str:
        """Give a key that no record has: `W` work, `M` edition, `A` author."""
        return f"OL{next(self._numbers)}{letter}"

    def put(self, document: Document) -> str:
        """Add a document as it is, or replace the one under its key; gives the bare key."""
        with self._lock:
            path = document["key"]
            self.documents[path] = document
            self._index_edition(document)
            for work_key in self._works_touched_by(document):
                self._refresh_hit(work_key)
            self._found.clear()
            return _bare(path)

    def add_author(self, name: str, *, key: str | None = None) -> str:
        """Add an author; gives the bare key."""
        key = key or self.new_key("A")
        return self.put({"key": f"/authors/{key}", "name": name, **_headers("author")})

    def add_work(
        self,
        title: str | None = "A Made-Up Work",
        *,
        key: str | None = None,
        authors: Iterable[str] = ("A. Nobody",),
        isbns: Iterable[str] | None = None,
        subjects: Sequence[str] = (),
        description: str | None = None,
        first_publish_year: int | None = 1999,
        **search_fields: Any,
    ) -> str:
        """Add a work with an edition for each ISBN; authors are names, or keys of authors already there.

        `search_fields` go into the search document as they are. Gives the bare key.
        """
        with self._lock:
            key = key or self.new_key("W")
            author_keys = [self._author_key(author) for author in authors]
            work: Document = {
                "key": f"/works/{key}",
                "title": title,
                "authors": [
                    {"author": {"key": f"/authors/{author}"}, "type": {"key": "/type/author_role"}}
                    for author in author_keys
                ],
                "subjects": list(subjects),
                "description": None if description is None else {"type": "/type/text", "value": description},
                "first_publish_date": None if first_publish_year is None else str(first_publish_year),
                **_headers("work"),
                "_search": search_fields,
            }
            self.put({name: value for name, value in work.items() if value not in (None, [])})
            for isbn in isbns if isbns is not None else [made_up_isbn(int(key[2:-1]))]:
                self.add_edition(key, isbn, title=title)
            return key

    def add_edition(self, work_key: str, isbn: str, *, title: str | None = None) -> str:
        """Add an edition of a work; gives the bare key."""
        edition = {
            "key": f"/books/{self.new_key('M')}",
            "title": title or "An Edition",
            "works": [{"key": f"/works/{work_key}"}],
            "publishers": ["Made-Up Press"],
            "publish_date": "March 5, 1999",
            "languages": [{"key": "/languages/eng"}],
            "number_of_pages": 123,
            "isbn_13" if len(isbn) == 13 else "isbn_10": [isbn],
            **_headers("edition"),
        }
        return self.put(edition)

    def author_with_works(self, count: int, *, name: str = "Prolific Writer") -> str:
        """Add an author of `count` works; gives the author's bare key."""
        author = self.add_author(name)
        for number in range(1, count + 1):
            self.add_work(f"{name} Volume {number}", authors=[author], subjects=["Serial works"])
        return author

    def generated_catalogue(self, count: int, *, subject: str = "Generated", authors: int = 200) -> None:
        """Add `count` works at once, each with two editions' ISBNs, for measurements; all carry `subject`."""
        author_keys = [self.add_author(f"Generated Author {number}") for number in range(authors)]
        with self._lock:
            for number in range(count):
                author = number % authors
                self._add_generated(number, author_keys[author], f"Generated Author {author}", subject)
            self._found.clear()

    def merge(self, key: str, into: str, *, index_lags: bool = False) -> None:
        """Merge a record into another: its document becomes a redirect, its editions go over.

        With `index_lags` the search still finds the old work, as it does on the real site for a while.
        """
        with self._lock:
            for edition in self.editions_of(key):
                self.put({**edition, "works": [{"key": f"/works/{into}"}]})
            self._replace(key, {"type": {"key": "/type/redirect"}, "location": _path(into)}, index_lags=index_lags)
            self._log_change("merge-works", key, into)

    def redirect(self, key: str, to: str) -> None:
        """Make a redirect document to any path or key, sound or not: chains, loops, other kinds, missing records."""
        location = to if to.startswith("/") else _path(to)
        with self._lock:
            self.documents.setdefault(_path(key), {"key": _path(key), "revision": 0, "created": _CREATED})
            self._replace(key, {"type": {"key": "/type/redirect"}, "location": location}, index_lags=False)

    def delete(self, key: str, *, index_lags: bool = False) -> None:
        """Delete a record: its document says so from now on."""
        with self._lock:
            self._replace(key, {"type": {"key": "/type/delete"}}, index_lags=index_lags)
            self._log_change("bulk-delete-books", key)

    def edit(self, key: str, **fields: Any) -> None:
        """Change fields of a record; its revision rises by one."""
        with self._lock:
            document = dict(self.documents[_path(key)])
            document.update(fields)
            document["revision"] = document["latest_revision"] = document.get("revision", 1) + 1
            self.put(document)
            self._log_change("edit-book", key)

    def hide_from_search(self, key: str) -> None:
        """Take a work out of the search index, as for one that was made a moment ago."""
        with self._lock:
            self._hits.pop(key, None)
            self._found.clear()

    def _add_recorded(self) -> None:
        for document in _recorded_documents():
            self.documents[document["key"]] = dict(document)
        for document in list(self.documents.values()):
            self._index_edition(document)
        for path, document in list(self.documents.items()):
            if document["type"]["key"] == "/type/work":
                self._refresh_hit(_bare(path))
        for hit in _recorded_hits():
            self._add_recorded_hit(hit)

    def _add_recorded_hit(self, hit: Document) -> None:
        key = _bare(hit["key"])
        self._hits[key] = Indexed({**hit, "key": f"/works/{key}"})
        for author_key, name in zip(hit.get("author_key", []), hit.get("author_name", []), strict=False):
            self.documents.setdefault(
                f"/authors/{author_key}", {"key": f"/authors/{author_key}", "name": name, **_headers("author")}
            )
        self.documents.setdefault(f"/works/{key}", _work_of_hit(key, hit))

    def _add_generated(self, number: int, author_key: str, author_name: str, subject: str) -> None:
        key = self.new_key("W")
        hit = _generated_hit(key, number, author_key, author_name, subject)
        self._hits[key] = Indexed(hit)
        self.documents[f"/works/{key}"] = _work_of_hit(key, hit)

    def _author_key(self, author: str) -> str:
        return author if f"/authors/{author}" in self.documents else self.add_author(author)

    def _replace(self, key: str, fields: Document, *, index_lags: bool) -> None:
        old = self.documents[_path(key)]
        revision = old.get("revision", 1) + 1
        self.documents[_path(key)] = {
            "key": _path(key),
            **fields,
            "latest_revision": revision,
            "revision": revision,
            "created": old.get("created", _CREATED),
            "last_modified": _CREATED,
        }
        if not index_lags:
            self._hits.pop(key, None)
        self._found.clear()

    def _log_change(self, kind: str, *keys: str) -> None:
        changes = [{"key": _path(key), "revision": self.documents[_path(key)]["revision"]} for key in keys]
        self.changes.insert(0, {
            "id": str(100_000_000 + len(self.changes)),
            "kind": kind,
            "timestamp": "2026-11-20T10:00:00.000000",
            "comment": "",
            "changes": changes,
            "author": {"key": "/people/example"},
            "ip": None,
            "data": {},
        })  # fmt: skip

    def _index_edition(self, document: Document) -> None:
        if document["type"]["key"] != "/type/edition":
            return
        path = document["key"]
        for paths in self._editions_of.values():
            if path in paths:
                paths.remove(path)
        for work in document.get("works") or []:
            self._editions_of.setdefault(_bare(work["key"]), []).append(path)
        for isbn in [*document.get("isbn_13", []), *document.get("isbn_10", [])]:
            self._edition_by_isbn.setdefault(_isbn13("".join(c for c in isbn if c.isalnum()).upper()), path)

    def _works_touched_by(self, document: Document) -> Iterator[str]:
        kind = document["type"]["key"]
        if kind == "/type/work":
            yield _bare(document["key"])
        elif kind == "/type/edition":
            yield from (_bare(work["key"]) for work in document.get("works") or [])
        elif kind == "/type/author":
            yield from (_bare(work["key"]) for work in self.works_of(_bare(document["key"])))

    def _refresh_hit(self, key: str) -> None:
        work = self.documents.get(f"/works/{key}")
        if work is not None and work["type"]["key"] == "/type/work":
            self._hits[key] = Indexed(_hit_of(work, self.editions_of(key), self._author_name))

    def _author_name(self, path: str) -> str:
        return str(self.documents.get(path, {}).get("name", ""))


@cache
def _recorded_documents() -> tuple[Document, ...]:
    files = [RECORDED / name for name in ("works.jsonl", "editions.jsonl", "authors.jsonl")]
    return tuple(json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines())


@cache
def _recorded_hits() -> tuple[Document, ...]:
    answers = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((RECORDED / "search").glob("search_*"))]
    hits = [hit for answer in answers for hit in answer["docs"]]
    # Very old answers also hold scans without a work; this index has works only.
    works = {_bare(hit["key"]): hit for hit in hits if _bare(hit["key"]).startswith("OL")}
    # Where a work was recorded in several ages the answer that says most stands.
    for hit in hits:
        if len(hit) > len(works.get(_bare(hit["key"]), hit)):
            works[_bare(hit["key"])] = hit
    return tuple(works.values())


def made_up_isbn(number: int) -> str:
    """Give a valid ISBN-13 for a number below 10^9."""
    twelve = f"978{number % 1_000_000_000:09d}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(twelve))
    return twelve + str(-total % 10)


def _isbn13(digits: str) -> str:
    return made_up_isbn(int(digits[:9])) if len(digits) == 10 and digits[:9].isdigit() else digits


def _both_forms(isbn: str) -> tuple[str, ...]:
    """Give an ISBN as printed and in its other form, as the search index holds it."""
    digits = "".join(letter for letter in isbn if letter.isalnum()).upper()
    if len(digits) == 10 and digits[:9].isdigit():
        return (isbn, _isbn13(digits))
    if len(digits) == 13 and digits.isdigit() and digits.startswith("978"):
        total = sum(weight * int(digit) for weight, digit in zip(range(10, 1, -1), digits[3:12], strict=True))
        return (isbn, digits[3:12] + "0123456789X"[-total % 11])
    return (isbn,)


def _headers(kind: str) -> Document:
    return {
        "type": {"key": f"/type/{kind}"},
        "latest_revision": 1,
        "revision": 1,
        "created": _CREATED,
        "last_modified": _CREATED,
    }


def _bare(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _path(key: str) -> str:
    folder = {"W": "works", "M": "books", "A": "authors"}[key[-1]]
    return f"/{folder}/{key}"


def _author_path(entry: Document) -> str | None:
    author = entry.get("author")
    return author.get("key") if isinstance(author, dict) else author


def _text(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, str) else None


def _hit_of(work: Document, editions: list[Document], author_name: Callable[[str], str]) -> Document:
    """Build what the search index holds of a work, from the work, its editions and its authors."""
    paths = list(dict.fromkeys(path for entry in work.get("authors", []) if (path := _author_path(entry))))
    isbns = [isbn for edition in editions for isbn in (*edition.get("isbn_13", []), *edition.get("isbn_10", []))]
    covers = [cover for record in (work, *editions) for cover in record.get("covers", []) if cover and cover > 0]
    hit: Document = {
        "key": work["key"],
        "type": "work",
        "title": work.get("title", "__None__"),
        "subtitle": work.get("subtitle"),
        "alternative_title": [edition["title"] for edition in editions if "title" in edition],
        "author_key": [_bare(path) for path in paths],
        "author_name": [author_name(path) for path in paths],
        "contributor": [line for edition in editions for line in edition.get("contributions", [])],
        "first_publish_year": _year_of(work, editions),
        "description": _text(work.get("description")),
        "subject": list(work.get("subjects", [])),
        "place": list(work.get("subject_places", [])),
        "person": list(work.get("subject_people", [])),
        "time": list(work.get("subject_times", [])),
        "language": sorted({_bare(entry["key"]) for edition in editions for entry in edition.get("languages", [])}),
        "publisher": list(dict.fromkeys(name for edition in editions for name in edition.get("publishers", []))),
        "publish_date": [edition["publish_date"] for edition in editions if edition.get("publish_date")],
        "isbn": list(dict.fromkeys(form for isbn in isbns for form in _both_forms(isbn))),
        "number_of_pages_median": _median([e["number_of_pages"] for e in editions if "number_of_pages" in e]),
        "cover_i": covers[0] if covers else None,
        "edition_key": [_bare(edition["key"]) for edition in editions],
        "edition_count": len(editions),
        "ebook_access": "no_ebook",
        "has_fulltext": False,
        "public_scan_b": False,
    }
    hit.update(work.get("_search", {}))
    always = {"edition_count", "has_fulltext", "public_scan_b"}
    return {name: value for name, value in hit.items() if name in always or value not in (None, [])}


def _year_of(work: Document, editions: list[Document]) -> int | None:
    dates = [work.get("first_publish_date"), *(edition.get("publish_date") for edition in editions)]
    years = [int(date[-4:]) for date in dates if isinstance(date, str) and date[-4:].isdigit()]
    return min(years, default=None)


def _median(numbers: list[int]) -> int | None:
    return sorted(numbers)[len(numbers) // 2] if numbers else None


def _work_of_hit(key: str, hit: Document) -> Document:
    """Build the work document behind a search hit."""
    return {
        "key": f"/works/{key}",
        "title": hit.get("title", "__None__"),
        "authors": [
            {"author": {"key": f"/authors/{author}"}, "type": {"key": "/type/author_role"}}
            for author in hit.get("author_key", [])
        ],
        "subjects": hit.get("subject", []),
        "covers": [hit["cover_i"]] if hit.get("cover_i") else [],
        **_headers("work"),
    }


def _generated_hit(key: str, number: int, author_key: str, author_name: str, subject: str) -> Document:
    isbns = [made_up_isbn(100_000_000 + 2 * number + copy) for copy in (0, 1)]
    return {
        "key": f"/works/{key}",
        "type": "work",
        "title": f"Generated Work {number}",
        "subtitle": f"Being number {number} of many",
        "author_key": [author_key],
        "author_name": [author_name],
        "first_publish_year": 1900 + number % 120,
        "description": "A description of the length that catalogues like to show. " * 3,
        "subject": [subject, f"Topic {number % 50}", f"Theme {number % 7}", "Fiction", "In library"],
        "language": ["eng", "fre"] if number % 3 else ["eng"],
        "publisher": [f"Publisher {number % 40}", "Made-Up Press"],
        "isbn": [*isbns, *(isbn[3:12] for isbn in isbns)],
        "number_of_pages_median": 100 + number % 400,
        "cover_i": 1_000_000 + number,
        "edition_key": [f"OL{_FIRST_MADE_UP + number}M"],
        "edition_count": 2,
        "ebook_access": "no_ebook",
        "has_fulltext": False,
        "public_scan_b": False,
    }
