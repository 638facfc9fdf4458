"""`flask postman …`."""

from __future__ import annotations

from pathlib import Path

import click
from flask import current_app
from flask.cli import AppGroup

from app.core import openapi, postman

cli = AppGroup("postman", help="The Postman collection.")


@cli.command("write")
@click.option("--check", is_flag=True, help="Only say whether the file is as the code would write it.")
def write_collection(*, check: bool) -> None:
    """Write the collection from the OpenAPI document."""
    path = Path(postman.FILE_NAME)
    written = postman.write(openapi.document(current_app))
    if check and (not path.exists() or path.read_bytes() != written):
        raise click.ClickException(f"{path} is stale: run `make postman`.")
    if not check:
        path.write_bytes(written)
