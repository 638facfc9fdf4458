"""The tests' HTTP client: whatever a test asks for, the answer is held against the OpenAPI document.

So a status, a `code`, a media type, a field or a header that the document does not know fails the first test that meets
it, and so does a body that lacks what the document promises. Answers of what is not in the document (the tests' own
endpoints, unknown addresses, other methods) are left alone.
"""

from __future__ import annotations

from contextvars import Context
from gzip import decompress
from typing import Any

import orjson
from flask import Flask
from flask.testing import FlaskClient
from jsonschema_rs import Draft202012Validator
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from app.core import openapi

Json = dict[str, Any]
_JSON = {"application/json", "application/problem+json"}
# The redirect of everything to HTTPS, where that is insisted on, comes before there is an operation.
_TO_HTTPS = 308


class UndocumentedAnswer(AssertionError):
    """An answer that the OpenAPI document does not describe."""


class DocumentedClient(FlaskClient):
    """A client that takes documented answers only."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        """Send a request and look at its answer.

        Raises:
            UndocumentedAnswer: it is not as the document says.
        """
        # In a context of its own, as in a thread of the web server: nothing that the test has entered reaches the app.
        answer = Context().run(super().open, *args, **options)
        _check(self.application, answer)
        return answer


class Document:
    """The document, with the validators of its parts; the same for all apps of a process."""

    def __init__(self, content: Json) -> None:
        """Take the document's JSON."""
        self._components = content["components"]
        # With the schema itself, so that its id can't become another one's.
        self._validators: dict[int, tuple[Json, Draft202012Validator]] = {}
        self._operations = {
            (operation["operationId"], method.upper()): operation
            for path in content["paths"].values()
            for method, operation in path.items()
        }

    def operation(self, endpoint: str, method: str) -> Json | None:
        """The operation of an endpoint, if it is documented."""
        return self._operations.get((endpoint.partition(".")[2], method))

    def header(self, reference: Json) -> Json:
        """The header that is referred to."""
        found: Json = self._components["headers"][reference["$ref"].rpartition("/")[2]]
        return found

    def faults(self, schema: Json, value: Any) -> list[str]:
        """In what a value is not as a schema of this document says."""
        if id(schema) not in self._validators:
            whole = {**schema, "components": {"schemas": self._components["schemas"]}}
            self._validators[id(schema)] = (schema, Draft202012Validator(whole, validate_formats=True))
        _, validator = self._validators[id(schema)]
        return [f"{'.'.join(map(str, fault.instance_path))}: {fault.message}" for fault in validator.iter_errors(value)]


_documents: list[Document] = []


def document_of(app: Flask) -> Document:
    """The document of an app."""
    if not _documents:
        _documents.append(Document(openapi.document(app)))
    return _documents[0]


def _check(app: Flask, answer: TestResponse) -> None:
    document = document_of(app)
    method = "GET" if answer.request.method == "HEAD" else answer.request.method
    try:
        endpoint, _ = app.url_map.bind("localhost").match(answer.request.path, method)
    except HTTPException:
        return
    operation = document.operation(endpoint, method)
    if operation is not None and answer.status_code != _TO_HTTPS:
        faults = list(_faults(document, operation, answer))
        if faults:
            asked = f"{answer.request.method} {answer.request.full_path} ({operation['operationId']})"
            told = f"answers {answer.status_code} {answer.get_data(as_text=True)[:500]}"
            raise UndocumentedAnswer(f"{asked} {told}, which is not as the OpenAPI document says: {faults}")


def _faults(document: Document, operation: Json, answer: TestResponse) -> list[str]:
    documented = operation["responses"].get(str(answer.status_code))
    if documented is None:
        return [f"The status is none of {', '.join(operation['responses'])}."]
    return [*_faults_of_headers(document, documented, answer), *_faults_of_body(document, documented, answer)]


def _faults_of_headers(document: Document, documented: Json, answer: TestResponse) -> list[str]:
    faults = []
    for name, reference in documented["headers"].items():
        header, value = document.header(reference), answer.headers.get(name)
        if value is not None:
            is_number = header["schema"]["type"] == "integer" and value.isdecimal()
            faults += [
                f"{name}: {fault}" for fault in document.faults(header["schema"], int(value) if is_number else value)
            ]
        elif header["required"]:
            faults.append(f"The header {name} is missing.")
    return faults


def _faults_of_body(document: Document, documented: Json, answer: TestResponse) -> list[str]:
    if "content" not in documented:
        return [] if answer.is_streamed or not answer.get_data() else ["There is a body."]
    content = documented["content"].get(answer.mimetype)
    if content is None:
        return [f"The media type {answer.mimetype!r} is none of {', '.join(documented['content'])}."]
    if answer.mimetype not in _JSON or answer.request.method == "HEAD":
        return []
    body = answer.get_data()
    return document.faults(content["schema"], orjson.loads(decompress(body) if answer.content_encoding else body))
