"""The floor: the least that Flask and PostgreSQL can do for a page of books or of stock, or to write a loan down.

Bare Flask on the same server over the same table, raw psycopg2 and orjson; no key, permission, limit, row-level
security, log line or paging but one parameter. Everything the service does on top is measured against it.
"""

from __future__ import annotations

import os
import threading

import orjson
import psycopg2
import psycopg2.extras
from flask import Flask, Response, request

from app.core.clock import new_id

app = Flask(__name__)
_thread = threading.local()
_COLUMNS = (
    "id, title, subtitle, authors, contributors, first_publish_year, description, subjects, languages, publishers, "
    "isbns, page_count, cover_id, series, open_library_key, upstream_status, source, labels, copies_total, "
    "copies_available, times_borrowed, version, created_at, updated_at"
)
_NAMES = _COLUMNS.split(", ")
_STOCK_COLUMNS = 'id, product_id, quantity, "timestamp", created_at'
_STOCK_NAMES = _STOCK_COLUMNS.replace('"', "").split(", ")


def _cursor() -> psycopg2.extensions.cursor:
    if not hasattr(_thread, "connection"):
        connection = psycopg2.connect(os.environ["FLOOR_DSN"])
        connection.autocommit = True
        psycopg2.extras.register_default_jsonb(connection, loads=orjson.loads)
        _thread.connection = connection
    cursor: psycopg2.extensions.cursor = _thread.connection.cursor()
    return cursor


@app.get("/books/<tenant_id>")
def list_books(tenant_id: str) -> Response:
    """Answer 20 books before a moment."""
    with _cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM books WHERE tenant_id = %s AND created_at < %s"  # noqa: S608 - constants
            " ORDER BY created_at DESC, id DESC LIMIT 20",
            (tenant_id, request.args["before"]),
        )
        items = [dict(zip(_NAMES, row, strict=True)) for row in cursor.fetchall()]
    return Response(orjson.dumps({"items": items}), content_type="application/json")


@app.get("/inventory/<tenant_id>")
def list_updates(tenant_id: str) -> Response:
    """Answer 50 updates of a product after a moment."""
    with _cursor() as cursor:
        cursor.execute(
            f"SELECT {_STOCK_COLUMNS} FROM inventory_updates WHERE tenant_id = %s AND product_id = %s"  # noqa: S608 - constants
            ' AND "timestamp" > %s ORDER BY "timestamp", id LIMIT 50',
            (tenant_id, request.args["product_id"], request.args["after"]),
        )
        items = [dict(zip(_STOCK_NAMES, row, strict=True)) for row in cursor.fetchall()]
    return Response(orjson.dumps({"items": items}), content_type="application/json")


@app.post("/loans/<tenant_id>")
def add_loan(tenant_id: str) -> Response:
    """Write a loan down, and do nothing else about it."""
    body = orjson.loads(request.data)
    with _cursor() as cursor:
        cursor.execute(
            "INSERT INTO bare_loans (tenant_id, id, book_id, copy_id, reader_id, due_at)"
            " VALUES (%s, %s, %s, %s, %s, now() + interval '28 days')"
            " RETURNING id, book_id, copy_id, reader_id, borrowed_at, due_at",
            (tenant_id, str(new_id()), body["book_id"], body["copy_id"], body["reader_id"]),
        )
        [row] = cursor.fetchall()
    loan = dict(zip(("id", "book_id", "copy_id", "reader_id", "borrowed_at", "due_at"), row, strict=True))
    return Response(orjson.dumps(loan), 201, content_type="application/json")
