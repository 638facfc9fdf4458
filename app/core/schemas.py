"""What every input and output schema stands on: strict, nothing repaired, nothing silently ignored."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Final, NoReturn
from urllib.parse import unquote_plus, unquote_to_bytes
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson
from flask import Request, Response
from marshmallow import RAISE, Schema, ValidationError, fields, missing, validate
from webargs.fields import DelimitedList
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException, UnprocessableEntity

from app.core.errors import BadRequest, BodyTooLarge, InvalidJson, UnsupportedMediaType
from app.core.text import CONTROL_CHARACTERS, CONTROL_CHARACTERS_IN_LINES

# ISO 8601 knows more spellings than RFC 3339 allows: weeks, days of the year, no separators.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?")
_EARLIEST_YEAR = 1000
_JSON = frozenset({"application/json"})
# So many unknown fields are told one by one, beside all other faults; an object with more is nobody's slip.
_UNKNOWN_FIELDS_TOLD: Final = 100
_LONGEST_NAME_TOLD: Final = 100
# RFC 7396 gives the merge patch a type of its own.
_JSON_TYPES = {"PATCH": _JSON | {"application/merge-patch+json"}}


def json_types(method: str) -> frozenset[str]:
    """The media types that the body of a request may have."""
    return _JSON_TYPES.get(method, _JSON)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


class StrictSchema(Schema):
    """Unknown fields are refused, never ignored."""

    # Fields of which one is given and no more: the document says so, and the schema that names them checks it.
    exactly_one_of: ClassVar[tuple[str, ...]] = ()

    class Meta:
        """Applies to all subclasses."""

        unknown = RAISE

    error_messages = {"type": "Must be an object."}  # noqa: RUF012 - marshmallow's own class attribute

    def shows_each_key_once(self, value: Any, body: bytes) -> bool:  # noqa: ARG002 - for schemas of large bodies
        """True where it is plain that the body with this value has no key twice, without reading it once more."""
        return False

    def _deserialize(self, data: Any, *, error_store: Any, index: int | None = None, **options: Any) -> Any:
        # Each unknown field has a message of its own: there are none for a hundred thousand.
        most = len(self.load_fields) + _UNKNOWN_FIELDS_TOLD
        if isinstance(data, Mapping) and len(data) > most:
            told = f"Must not have {len(data)} fields, but at most {len(self.load_fields)}."
            error_store.store_error([told], index=index)
            return {}
        return super()._deserialize(data, error_store=error_store, index=index, **options)


class Text(fields.String):
    """A string of printable text: at least one character that is not a space, and at most `max_length`."""

    def __init__(self, *, max_length: int = 255, min_length: int = 1, lines: bool = False, **kwargs: Any) -> None:
        """Take the length bounds, in characters, and whether it may have several lines, and tabs in them."""
        length = validate.Length(min=min_length, max=max_length)
        kwargs["validate"] = [length, *_as_list(kwargs.get("validate"))]
        super().__init__(**kwargs)
        self._min_length = min_length
        self._refused = CONTROL_CHARACTERS_IN_LINES if lines else CONTROL_CHARACTERS

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        content: str = super()._deserialize(value, attr, data, **kwargs)
        if self._refused.search(content):
            raise ValidationError("Must not contain control characters.")
        if self._min_length and not content.strip():
            raise ValidationError("Must not be blank.")
        return content


class Items(fields.List[Any]):
    """A list that is counted before its items are read, since each of a million may be faulty; what input takes."""

    def __init__(self, item: fields.Field[Any], *, most: int, least: int = 0, **kwargs: Any) -> None:
        """Take the inclusive bounds of the number of items."""
        self._count = validate.Length(min=least or None, max=most)
        kwargs["validate"] = [self._count, *_as_list(kwargs.get("validate"))]
        super().__init__(item, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list):
            self._count(value)
        return super()._deserialize(value, attr, data, **kwargs)


class DelimitedItems(DelimitedList, Items):
    """The same in one value of a query, with commas between."""


class WholeNumber(fields.Integer):
    """An integer given as a JSON integer (or digits, in a query), never as `1.0`, `true` or `"1"` in a body."""

    def __init__(self, *, minimum: int, maximum: int, **kwargs: Any) -> None:
        """Take the inclusive bounds; a number beyond 64 bits never reaches the database."""
        kwargs["validate"] = [validate.Range(min=minimum, max=maximum), *_as_list(kwargs.get("validate"))]
        super().__init__(strict=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if _is_query(data) and re.fullmatch(r"-?[0-9]{1,18}", str(value), re.ASCII):
            value = int(value)
        return super()._deserialize(value, attr, data, **kwargs)


class Flag(fields.Boolean):
    """A truth given as JSON's `true` or `false` (or these words, in a query), never as `1`, `"yes"` or the like."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        del attr, kwargs
        if _is_query(data) and value in {"true", "false"}:
            return bool(value == "true")
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def _is_query(data: Any) -> bool:
    """True where a field's value comes from a query, which knows strings only."""
    return isinstance(data, MultiDictProxy)


class Moment(fields.AwareDateTime):
    """An RFC 3339 time with an offset; a time without one is refused."""

    def __init__(self, **kwargs: Any) -> None:
        """Read and write ISO format in UTC."""
        super().__init__(format="iso", **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        del attr, obj, kwargs
        return None if value is None else rfc3339(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if isinstance(value, str) and not _RFC_3339.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        moment: datetime = super()._deserialize(value, attr, data, **kwargs)
        if moment.year < _EARLIEST_YEAR:
            raise ValidationError(f"Must be a time after the year {_EARLIEST_YEAR}.")
        try:
            return moment.astimezone(UTC)
        except OverflowError as error:
            raise ValidationError("Must be a time before the year 9999 ends in UTC.") from error


def rfc3339(moment: datetime) -> str:
    """A time in UTC with `Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def parse_id(value: str) -> UUID | None:
    """An id from a path; None where it is none, which means that the thing is not there.

    Only as answers write it: a thing with two addresses would have two locks and two ETags.
    """
    return UUID(value) if _ID.fullmatch(value) else None


EXAMPLE_CURSOR = "q7Jx0mZrVd5-WyIyMDI2LTAxLTMxIl0"


# Items of a page where a client says nothing.
DEFAULT_LIMIT: Final = 50


class ListArguments(StrictSchema):
    """The parameters of every list."""

    limit = WholeNumber(
        minimum=1, maximum=500, load_default=DEFAULT_LIMIT, metadata={"description": "Items per page.", "example": 20}
    )
    cursor = Text(
        max_length=2000,
        load_default=None,
        metadata={"description": "`next_cursor` of the page before; opaque.", "example": EXAMPLE_CURSOR},
    )


def list_of(item: type[Schema]) -> type[Schema]:
    """The shape of a list of `item`."""
    made = StrictSchema.from_dict(
        {
            "items": fields.List(fields.Nested(item), required=True),
            **page_fields(),
        },
        name=item.__name__.removesuffix("Schema") + "List",
    )
    made.__doc__ = f"One page of a list. Each item: {(item.__doc__ or '').lower()}"
    return made


def page_fields() -> dict[str, fields.Field[Any]]:
    """What every page of a list has beside its items."""
    relation = "`eq`: `total` is exact; `gte`: there are `total` or more."
    return {
        "total": fields.Integer(required=True, metadata={"description": "Exact up to 10 000.", "example": 1}),
        "total_relation": fields.String(
            required=True, validate=validate.OneOf(["eq", "gte"]), metadata={"description": relation}
        ),
        "next_cursor": fields.String(
            required=True,
            allow_none=True,
            metadata={"description": "The `cursor` of the next page; null on the last one.", "example": None},
        ),
    }


def whole_body(req: Request) -> bytes:
    """The body of a request, all of it.

    Raises:
        BodyTooLarge: it came without a length, and Werkzeug has cut it off at the limit without a word.
        BadRequest: the client has sent less than it declared, or chunks that are none.
    """
    try:
        body = req.get_data()
    except HTTPException:
        raise
    except Exception as error:
        # Servers have errors of their own for a body that they can't read.
        raise BadRequest("The body can't be read.") from error
    if req.content_length is None and req.max_content_length and len(body) >= req.max_content_length:
        raise BodyTooLarge
    if len(body) != (req.content_length or len(body)):
        raise BadRequest("The body was cut off.")
    return body


class _Query(MultiDictProxy):
    """A query's parameters; which of a schema's take several values is found out once."""

    def _collect_multiple_keys(self, schema: Schema) -> set[str]:
        known = _MULTIPLE_KEYS.get(schema)
        if known is None:
            known = _MULTIPLE_KEYS[schema] = super()._collect_multiple_keys(schema)
        return known


_MULTIPLE_KEYS: WeakKeyDictionary[Schema, set[str]] = WeakKeyDictionary()


class BodyParser(FlaskParser):
    """Reads JSON bodies and queries: 415 for another content type, 400 for what is not JSON, 422 for the rest."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012 - webargs' own class attribute
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "json": RAISE,
        "query": RAISE,
    }

    def parse(self, argmap: Any, req: Request | None = None, *, location: str | None = None, **options: Any) -> Any:
        """What a view takes; a query by the short way, since every list is asked by one."""
        # Not the lists of hooks count but what they hold: marshmallow adds empty ones when a schema is first loaded.
        if location != "query" or not isinstance(argmap, Schema) or any(argmap._hooks.values()):  # noqa: SLF001 - has no public name
            return super().parse(argmap, req, location=location, **options)
        asked = req or self.get_default_request()
        try:
            return read_query(argmap, asked.args)
        except ValidationError as error:
            refusal = ValidationError({location: error.messages})
            self.handle_error(refusal, asked, argmap, error_status_code=None, error_headers=None)

    def load_json(self, req: Request, schema: Any) -> Any:
        """The parsed body.

        Raises:
            UnsupportedMediaType: the body is not declared as JSON in UTF-8, or is compressed.
            InvalidJson: it is not JSON in UTF-8, or an object in it has a key twice.
            BodyTooLarge: it is larger than any body may be.
            BadRequest: it has not come in whole.
        """
        if req.mimetype not in json_types(req.method):
            raise UnsupportedMediaType("Send the body as JSON, with `Content-Type: application/json`.")
        check_coding(req)
        return parse_json(whole_body(req), schema if isinstance(schema, StrictSchema) else None)

    def handle_error(
        self, error: ValidationError, req: Request, schema: Schema, *, error_status_code: int | None, error_headers: Any
    ) -> NoReturn:
        """Refuse with 422; the handler in `core/errors.py` gives it its shape."""
        del req, schema, error_status_code, error_headers
        refusal = UnprocessableEntity()
        refusal.data = {"messages": error.messages}  # type: ignore[attr-defined]  # read by the error handler
        raise refusal


def check_coding(req: Request) -> None:
    """Make sure that a body is what its media type says, and not compressed.

    Raises:
        UnsupportedMediaType: it is in another character set than UTF-8, or compressed.
    """
    if req.mimetype_params.get("charset", "utf-8").lower() != "utf-8":
        raise UnsupportedMediaType("Send the body in UTF-8, without another `charset` in `Content-Type`.")
    if req.headers.get("Content-Encoding", "").strip().lower() not in {"", "identity"}:
        raise UnsupportedMediaType("Send the body uncompressed, without `Content-Encoding`.")


def parse_json(body: bytes, schema: StrictSchema | None = None, *, what: str = "body") -> Any:
    """The value of a body (or of what else it is called), which is to be loaded by this schema.

    Raises:
        InvalidJson: it is not JSON in UTF-8, or an object in it has a key twice.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"The {what} is not JSON in UTF-8: {_why_not_utf8(body) or error}.") from error
    if schema is None or not schema.shows_each_key_once(value, body):
        _refuse_keys_given_twice(body, what=what)
    return value


class _KeyTwice(Exception):
    """An object has this key twice."""


def _look_at_keys(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _KeyTwice(Counter(name for name, _ in pairs).most_common(1)[0][0])


# Numbers stay text: nobody looks at them.
_KEYS = json.JSONDecoder(object_pairs_hook=_look_at_keys, parse_int=str, parse_float=str)


def _refuse_keys_given_twice(body: bytes, *, what: str) -> None:
    """Read a body that is JSON once more, for its keys: orjson takes the last of two, and drops the other unseen.

    Raises:
        InvalidJson: an object has a key twice, or there is so much within each other that nobody can tell.
    """
    try:
        _KEYS.decode(body.decode())
    except _KeyTwice as error:
        name = str(error)[:_LONGEST_NAME_TOLD]
        raise InvalidJson(f"An object in the {what} has the key {name!r} twice.") from error
    except RecursionError as error:
        raise InvalidJson(f"The {what} nests too deeply.") from error


def _why_not_utf8(body: bytes) -> str | None:
    """Where a body is no UTF-8; of that, the JSON parser tells no true place."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"the byte 0x{body[error.start]:02x} at offset {error.start} is no part of a character"
    return None


_BEYOND_ASCII = re.compile("%[89A-Fa-f]|[^\x00-\x7f]")


def not_utf8(query_string: str) -> list[str]:
    """The names of a query's parameters that are no UTF-8 when decoded; Werkzeug would give `%ff` for such a byte."""
    if not _BEYOND_ASCII.search(query_string):
        return []
    names = (part.partition("=")[0] for part in query_string.split("&") if not _is_utf8(part))
    return list(dict.fromkeys(map(unquote_plus, names)))


def _is_utf8(part: str) -> bool:
    try:
        # WSGI gives bytes beyond ASCII as characters of Latin-1.
        unquote_to_bytes(part.encode("latin-1")).decode()
    except UnicodeDecodeError:
        return False
    return True


def read_query(schema: Schema, given: MultiDict[str, str]) -> dict[str, Any]:
    """The same as `schema.load` gives of a query, but without looking at the many fields that a query leaves out.

    Raises:
        ValidationError: a value is not acceptable, or one that stands alone was given several times; none of them is
            dropped unseen.
    """
    query = _Query(given, schema)
    repeated = [name for name, values in given.lists() if len(values) > 1 and name not in query.multiple_keys]
    if repeated:
        raise ValidationError({name: ["Give it once."] for name in repeated})
    asked_for, required, values = _expected(schema)
    values = dict(values)
    faults: dict[str, Any] = {name: [field.error_messages["required"]] for name, field in required if name not in query}
    for name in query:
        field = asked_for.get(name)
        if field is None:
            faults[name] = [schema.error_messages["unknown"]]
            continue
        try:
            values[field.attribute or name] = field.deserialize(query[name], name, query)
        except ValidationError as error:
            faults[name] = error.messages
    if faults:
        raise ValidationError(faults)
    return values


_Fields = dict[str, fields.Field[Any]]


@cache
def _expected(schema: Schema) -> tuple[_Fields, list[tuple[str, fields.Field[Any]]], dict[str, Any]]:
    """A schema's fields by the names of their parameters, those that are required, and the values of absent ones."""
    by_name = {field.data_key or name: field for name, field in schema.load_fields.items()}
    required = [(name, field) for name, field in by_name.items() if field.required]
    defaults = {
        field.attribute or name: field.load_default
        for name, field in schema.load_fields.items()
        if field.load_default is not missing
    }
    return by_name, required, defaults


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer in JSON: times in UTC with `Z`, UUIDs as text, ready-made fragments as they are."""
    content = orjson.dumps(body, option=orjson.OPT_UTC_Z)
    return Response(content, status, headers=headers, content_type="application/json")
