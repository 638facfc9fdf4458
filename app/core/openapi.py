"""The OpenAPI document: what flask-smorest reads off the endpoints, with security and problems added."""

from __future__ import annotations

from flask import Flask

from app.extensions import api

VERSION = "0.1.0"


def init_app(app: Flask) -> None:
    """Bind flask-smorest; the document itself is served by the `health` domain, outside of `/api/v1`."""
    app.config.update(
        API_TITLE="Library API",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX=None,
        API_SPEC_OPTIONS={
            "info": {
                "description": "Multi-tenant library service: catalogues that fill themselves from Open Library.",
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "components": {
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                }
            },
            "security": [{"bearer": []}, {"apiKey": []}],
        },
    )
    api.ERROR_SCHEMA = None
    api.init_app(app)
