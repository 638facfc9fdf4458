"""What the service answers when it can't or won't: every operation, held against the document."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flask import Flask
from schemathesis import BaseSchema
from schemathesis.checks import not_a_server_error

from app.tenants.models import PLATFORM_ID
from tests.conftest import Library
from tests.contract.campaign import AnyCase, configuration, narrowed_schema
from tests.contract.places import Place
from tests.contract.test_every_caller import accesses


def guarded_cases(app: Flask, schema: BaseSchema, place: Place) -> Iterator[AnyCase]:
    """Every operation that asks who calls, asked for something that is there."""
    marks = accesses(app)
    values = {name: ids[0] for name, ids in {**place.ids, "slug": [place.library.slug]}.items()}
    for path, methods in schema.raw_schema["paths"].items():
        for operation in (schema[path][method] for method in methods):
            names = {parameter.name for parameter in operation.path_parameters}
            if not marks[operation.label].is_public:
                yield operation.Case(path_parameters={name: values[name] for name in names})


def test_a_limit_that_is_used_up_is_told_as_documented(make_app: Callable[..., Flask], place: Place) -> None:
    app = make_app(API_RATE_LIMIT_REQUESTS="1", LOG_LEVEL="ERROR")
    headers = {"Authorization": f"Bearer {Library(app, 'platform', PLATFORM_ID).key('platform_admin')}"}
    place.library.app = app
    schema = narrowed_schema(place, configuration({}))
    app.test_client().get("/api/v1/tenants", headers=headers)

    uncounted = []
    for case in guarded_cases(app, schema, place):
        answer = case.call_and_validate(headers=headers)
        if answer.status_code != 429:
            uncounted.append(case.operation.label)

    assert uncounted == ["GET /api/v1/tenants/{slug}/rate-limits"]


def test_a_database_that_is_away_is_told_as_documented(
    make_app: Callable[..., Flask], place: Place, migrated: dict[str, str]
) -> None:
    schema = narrowed_schema(place, configuration({}))
    headers = {"Authorization": f"Bearer {place.platform.key('platform_admin')}"}
    schema.app = make_app(DATABASE_URL="postgresql://127.0.0.1:9/library", LOG_LEVEL="ERROR")

    for case in guarded_cases(schema.app, schema, place):
        answer = case.call_and_validate(headers=headers, excluded_checks=[not_a_server_error])
        assert answer.status_code == 503, case.operation.label


def test_redis_that_is_away_is_told_as_documented(make_app: Callable[..., Flask], place: Place) -> None:
    schema = narrowed_schema(place, configuration({}))
    headers = {"Authorization": f"Bearer {place.platform.key('platform_admin')}"}
    schema.app = make_app(REDIS_URL="redis://127.0.0.1:9/0", LOG_LEVEL="ERROR")

    refused = []
    for case in guarded_cases(schema.app, schema, place):
        answer = case.call_and_validate(headers=headers, excluded_checks=[not_a_server_error])
        if answer.status_code >= 500:
            refused.append((case.operation.label, answer.status_code))

    assert refused == [("GET /api/v1/tenants/{slug}/rate-limits", 503)]
