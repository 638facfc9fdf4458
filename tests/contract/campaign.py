"""One run of schemathesis over all operations with one credential: every phase, every check, and a tally of what came.

The document is the one that the app serves, but for its path parameters: drawn at random these would meet nothing, and
everything would be answered 404. They are narrowed to what is there, to what is another tenant's, and to nobody's.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from traceback import format_exception
from typing import Any
from unittest.mock import patch

import orjson
import schemathesis
from schemathesis import BaseSchema, Case, CheckContext, HookContext, Response, SerializationContext, engine
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.openapi.checks import (
    AllowHeaderMismatch,
    JsonSchemaError,
    RejectedPositiveData,
    UnsupportedMethodResponse,
)
from schemathesis.transport.wsgi import WSGITransport

from tests.contract.places import Place

# Its parts may be anything: that is what it is for.
AnyCase = Case[Any]

# Of ten requests this many go out as they were drawn. In the others, what the whole service knows once only (the key
# of a repetition, an ISBN, a slug) is new, and there is no made-up cursor: these end a request too early.
AS_THEY_ARE = 2
# What JSON Schema has no words for. A request that fits its schema is refused for these reasons, and for no other.
BEYOND_SCHEMAS = [
    (r"cursor", r"Take it unchanged from `next_cursor`", "a cursor that is made up is none"),
    (r".*", r"control characters|must not be blank", "one rule for all texts, said in the document's introduction"),
    (r".*isbns?(\.\d+)?", r"ISBN", "check digits are reckoned"),
    (r".*query", r"", "a query has a grammar of its own"),
    (r".*", r"not a valid integer", "JSON Schema takes 1.0 for an integer; the service wants it written as one"),
    (r"website", r"not a valid URL", "a URI may be of any scheme, a website's is not"),
    (r"expires_at", r"in the future", "time goes on"),
    (r"first_publish_year", r"at the latest", "the latest year moves on"),
    (r"year_to", r"before year_from", "two parameters that bound one range"),
    (r"end", r"before `start`", "two parameters that bound one range"),
    (r"offset", r"not both", "two parameters that say where to begin"),
    (r"lines(\.\d+.*)?", r"", "the schema of lines is that of any text"),
    (r"overrides\.\w+", r"not both", "two fields that speak of the same thing"),
    (r"email", r"Must be an e-mail address", "an address has one @, and no sign that would need quotes"),
    (r"username", r"Letters and digits", "one rule in words"),
    (r"last_initial", r"Must be a letter", "a letter of any script"),
    (r"password", r"guessed first", "what is guessed first is reckoned"),
    (
        r"role|reading_ability|min_age|max_age|current_password",
        r"",
        "what goes with a type or a person, and with each other",
    ),
    (r"owner_id", r"Must be (staff|a user)", "an id that is there"),
    (r"(reader|book|copy)_id|barcode", r"There is no such|No copy bears|Say for whom", "what is there, and who"),
    (
        r"items\.\d+",
        r"ISBN|can't be available where",
        "values of a row are held against each other, against other rows and against what is there",
    ),
    (r"type", r"\*", "a prefix ends in *"),
    (r"q", r"at least 2 characters|a letter or a digit", "what counts is what is left when signs are taken out"),
    (
        r".*",
        r"before the year 9999|after the year 1000|Not a valid aware datetime",
        "years that PostgreSQL and Python share",
    ),
]


@dataclass
class Tally:
    """What was asked, what came of it, and what was wrong with that."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    phases: Counter[str] = field(default_factory=Counter)

    @property
    def cases(self) -> int:
        """The number of requests."""
        return sum(counted.total() for counted in self.statuses.values())

    def note(self, operation: str, status: int) -> None:
        """Count one answer."""
        self.statuses.setdefault(operation, Counter())[status] += 1

    def successes(self, operation: str) -> int:
        """How often the operation did what it is there for."""
        return sum(count for status, count in self.statuses.get(operation, {}).items() if 200 <= status < 400)


@schemathesis.serializer("application/x-ndjson")
def lines_as_they_are(_: SerializationContext, value: Any) -> bytes:
    """Send a text as it was drawn, and anything else as one line."""
    return value.encode(errors="replace") if isinstance(value, str) else orjson.dumps(value, default=str)


@schemathesis.check
def says_what_is_wrong(ctx: CheckContext, response: Response, case: AnyCase) -> None:
    """Every answer has its request id, and every refusal, documented or not, is a whole problem."""
    [request_id] = response.headers["x-request-id"]
    if response.status_code < 400 or not response.content:
        return
    [media_type] = response.headers["content-type"]
    if response.status_code == 503 and media_type == "application/json":
        return  # the state of health, which has a schema of its own
    problem = orjson.loads(response.content) if media_type == "application/problem+json" else {}
    told = (problem.get("status"), problem.get("request_id"), problem.get("type"))
    if told != (response.status_code, request_id, f"/docs/errors#{problem.get('code')}"):
        raise AssertionError(f"Not a whole problem: {response.content[:200]!r}")


def configuration(
    headers: dict[str, str], *, closed: Sequence[str] = (), seed: int = 0, examples: int = 1
) -> SchemathesisConfig:
    """All phases and all checks; of what is closed to the caller, the long list of cases is left out."""
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            # The document's own server is the folder it is fetched from.
            "base-url": "http://localhost",
            # Nobody unzips what is answered in process.
            "headers": {"Accept-Encoding": "identity", **headers},
            # A stream goes on until its job ends, and nobody works on the jobs here.
            "max-stream-events": 1,
            # What an earlier run has learned would make each run another one.
            "cache": {"enabled": False},
            "request-timeout": 5,
            "continue-on-failure": True,
            "generation": {
                "max-examples": examples,
                "no-shrink": True,
                "database": "none",
                # The credential is the caller's own.
                "with-security-parameters": False,
            },
            "phases": {"stateful": {"max-steps": 5, "generation": {"max-examples": 4 * examples, "no-shrink": True}}},
            # They answer before they read anything: a handful of cases each tells as much.
            "operations": [{"include-name": list(closed), "phases": {"coverage": {"enabled": False}}}]
            if closed
            else [],
            "checks": {
                "max_response_time": 5,
                # `If-Match` is compared before the body is read.
                "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 409, 412, 415, 422]},
                "positive_data_acceptance": {"expected-statuses": ["2xx", "3xx", 401, 403, 404, 409, 412]},
            },
        }
    )


def narrowed_schema(place: Place, config: SchemathesisConfig) -> BaseSchema:
    """The document that the app serves, with what there is in its paths."""
    document = place.library.app.test_client().get("/openapi.json").get_json()
    known = {"slug": [place.library.slug], **place.ids}
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    parameter.pop("example", None)
                    parameter.pop("examples", None)
                    parameter["schema"] = {"type": "string", "enum": known[parameter["name"]]}
                if parameter["name"] == "If-Match":
                    # `*` is met by whatever is there, and nothing made up is.
                    parameter["schema"] = {"anyOf": [{"const": "*"}, parameter["schema"]]}
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.app = place.library.app
    schema.hooks.hook(filter_failure)
    return schema


def run(place: Place, config: SchemathesisConfig, *, runs_the_service: bool) -> Tally:
    """Ask everything in every way."""
    schema = narrowed_schema(place, config)
    tally = Tally()

    def after_call(_: HookContext, case: AnyCase, response: Response) -> None:
        if response.request.method == case.operation.method.upper():
            tally.note(case.operation.label, response.status_code)

    schema.hooks.hook(after_call)
    with _amended(_Amendments(place, runs_the_service=runs_the_service)):
        for event in engine.from_schema(schema).execute():
            if isinstance(event, FatalError):
                raise event.exception
            if isinstance(event, NonFatalError):
                tally.faults[f"{event.label}: {event.info.title}"] = "".join(format_exception(event.value))
            if isinstance(event, ScenarioFinished):
                tally.phases[event.phase.value] += len(event.recorder.cases)
                tally.faults |= dict(_faults_of(event.recorder))
    return tally


def _faults_of(recorder: ScenarioRecorder) -> Iterator[tuple[str, str]]:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is None:
                continue
            failure = check.failure_info.failure
            answered = recorder.interactions.get(failure.case_id or case_id)
            answer = answered.response.content[:600].decode(errors="replace") if answered and answered.response else ""
            # Ids and numbers are left out of the name, so that one fault is told once.
            name = re.sub(r"[0-9a-f-]{8,}|\d+", "…", failure.message[:160])
            yield f"{failure.operation} [{check.name}] {name}", f"{check.failure_info.code_sample[:1000]}\n{answer}"


def filter_failure(context: HookContext, failure: Failure, case: AnyCase, response: Response) -> bool:
    """Drop what is as it should be; each exception has its reason."""
    if isinstance(failure, RejectedPositiveData):
        return not _is_beyond_schemas(response)
    if isinstance(failure, UnsupportedMethodResponse | AllowHeaderMismatch):
        return not _is_also_another_address(case)
    # A stream's schema is that of its text; schemathesis reads it as one of each event.
    return not (isinstance(failure, JsonSchemaError) and failure.title == "SSE event violates schema")


def _is_beyond_schemas(response: Response) -> bool:
    problem = orjson.loads(response.content)
    if problem["code"] == "idempotency_key_reused":
        return True  # what was sent before is in no schema
    return bool(problem.get("errors")) and all(
        any(
            re.fullmatch(place, fault["field"]) and re.search(words, fault["message"], re.IGNORECASE)
            for place, words, _ in BEYOND_SCHEMAS
        )
        for fault in problem["errors"]
    )


def _is_also_another_address(case: AnyCase) -> bool:
    """True for `/books/search`, which `/books/{book_id}` matches as well: its methods are answered there too."""
    own = case.operation.path
    others = (path for path in case.operation.schema.raw_schema["paths"] if path != own)
    return any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), own) for path in others)


class _Amendments:
    """What is changed of requests before they go out, so that they reach further, and the tenant outlives them."""

    def __init__(self, place: Place, *, runs_the_service: bool) -> None:
        self._place = place
        self._runs_the_service = runs_the_service
        self._numbers = itertools.count(1)

    def amend(self, case: AnyCase) -> None:
        """Change one request."""
        number = next(self._numbers)
        if number % 10 >= AS_THEY_ARE and not (case.meta and case.meta.generation.mode.is_negative):
            if "Idempotency-Key" in case.headers:
                case.headers["Idempotency-Key"] = f"key-{number}"
            case.query.pop("cursor", None)
            self._make_unique(case)
        self._spare_what_is_needed(case)

    def _make_unique(self, case: AnyCase) -> None:
        for name, make in self._place.unique.get(_name(case), {}).items():
            if isinstance(case.body, dict) and case.body.get(name):
                case.body[name] = make()

    def _spare_what_is_needed(self, case: AnyCase) -> None:
        make = self._place.spare.get(_name(case))
        values = [str(value) for value in case.path_parameters.values()]
        if make is None or not self._place.is_all_here(values):
            return
        if "{slug}" in case.operation.path.rpartition("/")[2] and not self._runs_the_service:
            return
        if case.method != "PATCH" or self._place.is_needed(values):
            case.path_parameters.update(make())


def _name(case: AnyCase) -> str:
    return f"{case.method} {case.operation.path.removeprefix('/api/v1')}"


@contextmanager
def _amended(amendments: _Amendments) -> Iterator[None]:
    """Let requests out amended, and as if from this machine.

    They are changed here, behind all of schemathesis' hooks, for there it would hold what was changed against the
    schema again. Its probes of `ignored_auth` hand in what only sockets take, which is left out as well.
    """
    send = WSGITransport.send

    def sent(self: WSGITransport, case: AnyCase, *, session: Any = None, **options: Any) -> Response:
        for name in ("max_redirects", "verify", "cert", "proxies"):
            options.pop(name, None)
        amendments.amend(case)
        return send(self, case, session=session, environ_base={"REMOTE_ADDR": "127.0.0.1"}, **options)

    with patch.object(WSGITransport, "send", sent):
        yield
