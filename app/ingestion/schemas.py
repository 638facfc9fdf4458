"""What comes in and goes out for ingestion."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.core.isbn import InvalidIsbn, normalize_isbn
from app.core.schemas import Flag, Items, ListArguments, Moment, StrictSchema, Text, WholeNumber, list_of
from app.ingestion.models import JobStatus, LogAction, Source, Trigger
from app.ingestion.queries import JOBS, LOGS
from app.openlibrary.errors import InvalidQuery
from app.openlibrary.query import parse_query

MOST_WORKS = 10_000
MOST_KEYS = 500
MOST_JOBS = 50
_WORK_KEY = re.compile(r"(?:/works/)?(OL[1-9][0-9]{0,11}W)")
# The longest way to write a key, or an ISBN with its hyphens.
_MOST_CHARACTERS = 40


def _values(kind: type[Any]) -> list[str]:
    return [each.value for each in kind]


class WorkKey(Text):
    """A work's key, with or without its folder; comes out bare."""

    def __init__(self, **kwargs: Any) -> None:
        """Take what a text takes, but for the length."""
        kwargs["metadata"] = {"pattern": f"^{_WORK_KEY.pattern}$", **kwargs.get("metadata", {})}
        super().__init__(max_length=_MOST_CHARACTERS, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        match = _WORK_KEY.fullmatch(super()._deserialize(value, attr, data, **kwargs))
        if match is None:
            raise ValidationError("Must be a work's key, like OL45804W or /works/OL45804W.")
        return match[1]


class Isbn(Text):
    """An ISBN of 10 or 13 digits, hyphens allowed, with a check digit that fits; comes out as 13 digits."""

    def __init__(self, **kwargs: Any) -> None:
        """Take what a text takes, but for the length."""
        super().__init__(max_length=_MOST_CHARACTERS, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return normalize_isbn(super()._deserialize(value, attr, data, **kwargs))
        except InvalidIsbn as error:
            raise ValidationError(str(error)) from error


class QueryText(Text):
    """A query that Open Library can be asked."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        query = super()._deserialize(value, attr, data, **kwargs)
        try:
            parse_query(query)
        except InvalidQuery as error:
            raise ValidationError(error.detail) from error
        return query


class JobRequestSchema(StrictSchema):
    """A wish for works: a query, keys or ISBNs."""

    exactly_one_of = ("query", "open_library_keys", "isbns")

    query = QueryText(
        min_length=2,
        max_length=200,
        metadata={
            "description": "`author:…`, `subject:…`, `title:…`, `isbn:…` or free words.",
            "example": "author:Tolkien",
        },
    )
    open_library_keys = Items(
        WorkKey(metadata={"example": "OL45804W"}),
        least=1,
        most=MOST_KEYS,
        metadata={"description": "Keys of works, with or without `/works/`."},
    )
    isbns = Items(
        Isbn(metadata={"example": "978-0-261-10357-3"}),
        least=1,
        most=MOST_KEYS,
        metadata={"description": "ISBN-10 or ISBN-13, hyphens allowed."},
    )
    max_works = WholeNumber(
        minimum=1,
        maximum=MOST_WORKS,
        load_default=1000,
        metadata={"description": "Works at most; what goes beyond is left.", "example": 100},
    )
    refresh = Flag(
        load_default=False,
        metadata={"description": "Ask Open Library even where our copy is fresh.", "example": False},
    )

    @validates_schema(skip_on_field_errors=True)
    def _check_one_wish(self, data: dict[str, Any], **_: Any) -> None:
        if sum(name in data for name in self.exactly_one_of) != 1:
            raise ValidationError("Give exactly one of query, open_library_keys and isbns.")


class BatchRequestSchema(StrictSchema):
    """Several wishes at once."""

    jobs = Items(
        fields.Nested(JobRequestSchema),
        required=True,
        least=1,
        most=MOST_JOBS,
        metadata={
            "description": "Accepted all together, or none.",
            "example": [{"query": "author:Tolkien", "max_works": 100}, {"isbns": ["978-0-261-10357-3"]}],
        },
    )


class ProgressSchema(StrictSchema):
    """How far a job is; `done` is the sum of the four that follow it."""

    total = fields.Integer(
        required=True, metadata={"description": "0 until the first answer to a query tells.", "example": 300}
    )
    done = fields.Integer(
        required=True, metadata={"description": "Works that are settled, well or not.", "example": 200}
    )
    created = fields.Integer(required=True, metadata={"description": "Works that became new books.", "example": 150})
    updated = fields.Integer(
        required=True, metadata={"description": "Works whose book got a new version.", "example": 9}
    )
    unchanged = fields.Integer(
        required=True, metadata={"description": "Works whose book was as it should be.", "example": 40}
    )
    failed = fields.Integer(
        required=True, metadata={"description": "Works that could not be recorded; the log says why.", "example": 1}
    )


class JobErrorSchema(StrictSchema):
    """Why a job failed, or what it is waiting for."""

    code = fields.String(
        required=True,
        metadata={
            "description": "`upstream_unavailable`, `upstream_refused`: Open Library; `invalid_input`: it does not"
            " take this query; `nothing_found`, `all_failed`: what came of it; `interrupted`: work on it broke off"
            " again and again.",
            "example": "upstream_unavailable",
        },
    )
    message = fields.String(
        required=True,
        metadata={"description": "The same in words, for people.", "example": "Open Library answers 503."},
    )


class JobSchema(StrictSchema):
    """A job: what was asked for, and how far it is."""

    id = fields.UUID(required=True)
    status = fields.String(
        required=True,
        validate=validate.OneOf(_values(JobStatus)),
        metadata={
            "description": "`completed` when at least one work went well, `failed` when none did or it could not run.",
            "example": JobStatus.RUNNING.value,
        },
    )
    query = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "As it was asked; null: it asked by keys or ISBNs.", "example": "author:Tolkien"},
    )
    open_library_keys = fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "Keys of works, bare; null: it asked otherwise.", "example": None},
    )
    isbns = fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "As 13 digits; null: it asked otherwise.", "example": None},
    )
    max_works = fields.Integer(required=True, metadata={"description": "Works at most.", "example": 1000})
    refresh = fields.Boolean(
        required=True,
        metadata={"description": "Whether Open Library is asked even where our copy is fresh.", "example": False},
    )
    progress = fields.Nested(ProgressSchema, required=True)
    attempts = fields.Integer(required=True, metadata={"description": "How often work on it was begun.", "example": 1})
    error = fields.Nested(
        JobErrorSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Null: nothing is wrong.", "example": None},
    )
    source = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(_values(Source)),
        metadata={"description": "`mirror` where our copy of Open Library answered, for a part at least."},
    )
    batch_id = fields.UUID(
        required=True,
        allow_none=True,
        metadata={"description": "The batch it was accepted with; null: it came alone.", "example": None},
    )
    trigger = fields.String(
        required=True,
        validate=validate.OneOf(_values(Trigger)),
        metadata={
            "description": "Who asked: a client, a re-sync, or a collection with an ISBN that no book has.",
            "example": "api",
        },
    )
    created_at = Moment(required=True)
    started_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When work on it was begun; null: not yet.", "example": "2026-01-31T09:30:01Z"},
    )
    finished_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it ended, in whatever way; null: not yet.", "example": None},
    )


class BatchSchema(StrictSchema):
    """Jobs that were accepted together."""

    batch_id = fields.UUID(
        required=True,
        allow_none=True,
        metadata={"description": "By which the list of jobs finds them; null: there was nothing to ask for."},
    )
    jobs = fields.List(
        fields.Nested(JobSchema), required=True, metadata={"description": "In the order in which they were asked for."}
    )


class JobListArguments(ListArguments):
    """Filters and order of the list of jobs."""

    status = Text(
        validate=validate.OneOf(_values(JobStatus)),
        metadata={"description": "Only jobs in this state.", "example": JobStatus.RUNNING.value},
    )
    batch_id = fields.UUID(metadata={"description": "Only the jobs that were accepted together."})
    trigger = Text(
        validate=validate.OneOf(_values(Trigger)),
        metadata={"description": "Who asked: a client, a re-sync, or a collection with an ISBN that no book has."},
    )
    sort = Text(validate=validate.OneOf(JOBS.sort_names), load_default=JOBS.default_sort)


JobListSchema = list_of(JobSchema)


class LogSchema(StrictSchema):
    """What came of one work in one job."""

    job_id = fields.UUID(required=True, metadata={"description": "The job it belongs to."})
    open_library_key = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The work, bare; null: the source gave none that can be read.", "example": "OL45804W"},
    )
    action = fields.String(
        required=True,
        validate=validate.OneOf(_values(LogAction)),
        metadata={"description": "What came of it; `redirected`: it went up in another work."},
    )
    message = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Why, for people; null: nothing is to be said.", "example": None},
    )
    at = Moment(required=True, metadata={"description": "When it was settled."})


class LogListArguments(ListArguments):
    """Filters and order of the log."""

    job_id = fields.UUID(metadata={"description": "Only what came of this job."})
    open_library_key = WorkKey(metadata={"description": "Only what came of this work.", "example": "OL45804W"})
    action = Text(
        validate=validate.OneOf(_values(LogAction)),
        metadata={"description": "Only what came out so.", "example": LogAction.FAILED.value},
    )
    message = Text(max_length=200, metadata={"description": "Part of the message, in any case.", "example": "no title"})
    since = Moment(metadata={"description": "Not before this time.", "example": "2026-01-31T00:00:00Z"})
    until = Moment(metadata={"description": "Not after this time.", "example": "2026-12-31T00:00:00Z"})
    sort = Text(validate=validate.OneOf(LOGS.sort_names), load_default=LOGS.default_sort)


LogListSchema = list_of(LogSchema)


class SyncedQuerySchema(StrictSchema):
    """A query that is run again at every re-sync."""

    query = fields.String(
        required=True, metadata={"description": "As it was asked first.", "example": "author:Tolkien"}
    )
    last_synced_at = Moment(required=True, metadata={"description": "When a job for it last ended well."})
    works = fields.Integer(
        required=True, metadata={"description": "Works it has brought that Open Library still has.", "example": 300}
    )


class ResyncSchema(StrictSchema):
    """When the tenant's queries are run again."""

    enabled = fields.Boolean(
        required=True, metadata={"description": "False while the tenant is suspended.", "example": True}
    )
    interval_hours = fields.Integer(
        required=True, metadata={"description": "Hours between two runs: the tenant's setting.", "example": 6}
    )
    last_run_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the queries were last run again, by time or by hand; null: never."},
    )
    next_run_at = Moment(
        required=True, allow_none=True, metadata={"description": "null while there is no query to run."}
    )
    queries = fields.List(
        fields.Nested(SyncedQuerySchema),
        required=True,
        metadata={"description": "Each is a query of a job that ended well."},
    )
