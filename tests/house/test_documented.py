"""The tests' client finds every answer that the OpenAPI document does not describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response
from werkzeug.exceptions import Gone

from app.core.errors import Invalid
from app.core.schemas import json_response
from app.core.security import signed_in
from app.pipeline import fast_lane
from tests.conftest import Library
from tests.documented import UndocumentedAnswer

ME: dict[str, Any] = {
    "kind": "service_account",
    "id": "0199d2f4-7c1a-7e3b-9a64-3f1f2b8c5d10",
    "name": "Koha",
    "role": "lms",
    "permissions": [],
    "expires_at": None,
}


class Unheard(Invalid):
    """A refusal that no operation declares."""

    code = "unheard_of"


def refuse() -> Response:
    raise Unheard("Nobody knows this one.")


def vanish() -> Response:
    raise Gone


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (lambda: json_response(ME, 418), "The status is none of"),
        (lambda: json_response({"kind": "user"}), '"id" is a required property'),
        (lambda: json_response({**ME, "shoe_size": 41}), "shoe_size"),
        (lambda: json_response({**ME, "role": "king"}), '"king" is not one of'),
        (lambda: json_response({**ME, "id": "4711"}), 'id: "4711" is not a "uuid"'),
        (lambda: json_response([]), 'is not of type "object"'),
        (lambda: json_response(ME, headers={"Cache-Control": "no-store"}), "The header ETag is missing"),
        (lambda: Response("hello"), "The media type 'text/html' is none of"),
        (refuse, '"unheard_of" is not one of'),
        (vanish, "The status is none of"),
    ],
)
def test_an_answer_that_is_not_documented_fails_the_test(
    app: Flask, library: Library, answer: Callable[[], Response], fault: str
) -> None:
    # With the marks that the pipeline asks for.
    app.view_functions["auth.show_me"] = signed_in(answer)

    with pytest.raises(UndocumentedAnswer, match=fault):
        library.get("/auth/me")


def test_an_answer_of_finished_bytes_is_looked_at_as_well(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.get("/books")
    library.get("/books")
    monkeypatch.setattr(fast_lane, "_answer", lambda _: ("200 OK", '"1.2"', b'{"items": []}'))

    with pytest.raises(UndocumentedAnswer, match='"total" is a required property'):
        library.get("/books")
