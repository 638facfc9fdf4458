"""Reads that are answered from finished bytes, before Flask begins or from the cache, are as documented too."""

from __future__ import annotations

import pytest
from flask import Flask
from schemathesis import BaseSchema, Response

from tests.contract.campaign import AnyCase, configuration, narrowed_schema
from tests.contract.places import PRODUCT, Place

# The parameters without which there is no answer.
QUERIES = {
    "search_books": {"q": "dune"},
    "list_updates": {"product_id": PRODUCT},
    "list_latest": {"product_id": PRODUCT},
}


def kept_reads(app: Flask, schema: BaseSchema, place: Place) -> list[AnyCase]:
    """Each GET whose answer is kept, asked for something that is there."""
    path_of = {rule.endpoint.partition(".")[2]: rule.rule for rule in app.url_map.iter_rules()}
    kept = [name.partition(".")[2] for name, view in app.view_functions.items() if hasattr(view, "cached")]
    cases: list[AnyCase] = []
    for name in kept:
        path = path_of[name].replace("<", "{").replace(">", "}")
        values = {each: place.ids[each][0] for each in place.ids if f"{{{each}}}" in path}
        cases.append(
            schema[path]["GET"].Case(
                path_parameters={"slug": place.library.slug, **values}, query=dict(QUERIES.get(name, {}))
            )
        )
    return cases


def ask(case: AnyCase, place: Place, **headers: str) -> Response:
    """The answer, held against the document by every check that needs no more than one."""
    key = place.library.key("librarian")
    return case.call_and_validate(headers={"Authorization": f"Bearer {key}", "Accept-Encoding": "identity", **headers})


@pytest.fixture
def schema(place: Place) -> BaseSchema:
    return narrowed_schema(place, configuration({}))


def test_finished_bytes_are_what_the_document_says(app: Flask, schema: BaseSchema, place: Place) -> None:
    cases = kept_reads(app, schema, place)

    for case in cases:
        name = case.operation.label
        cold = ask(case, place)
        warm = ask(case, place)
        through_flask = ask(case, place, Origin="https://elsewhere.example.org")
        not_modified = ask(case, place, **{"If-None-Match": warm.headers["etag"][0]})
        assert [cold.status_code, warm.status_code, through_flask.status_code] == [200, 200, 200], name
        assert cold.content == warm.content == through_flask.content, name
        assert cold.headers["etag"] == warm.headers["etag"] == not_modified.headers["etag"], name
        assert (not_modified.status_code, not_modified.content) == (304, b""), name
    assert len(cases) >= 6


def test_finished_bytes_hold_something(app: Flask, schema: BaseSchema, place: Place) -> None:
    lists = [case for case in kept_reads(app, schema, place) if not set(case.path_parameters) - {"slug"}]

    for case in lists:
        for _ in range(2):
            assert ask(case, place).json()["items"], (
                f"{case.operation.label} tells nothing, so nothing of it was tested."
            )
    assert lists
