"""`flask openapi …` and `flask postman …`."""

from __future__ import annotations

from pathlib import Path

import click
import orjson
from flask import current_app

from app.core import openapi, postman
from app.core.commands import CommandGroup

PLAN = Path(__file__).parent / "postman.toml"

cli = CommandGroup("postman", help="The Postman collection.")
# In the place of flask-smorest's group of this name, which does not know what the document is completed by.
openapi_cli = CommandGroup("openapi", help="The OpenAPI document.")


@openapi_cli.command("write")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="docs/openapi.json")
def write_document(file: Path) -> None:
    """Write the OpenAPI document to FILE (default: docs/openapi.json)."""
    document = openapi.document(current_app)
    file.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


@cli.command("write")
@click.option("--check", is_flag=True, help="Only say whether the file is as the code would write it.")
def write_collection(*, check: bool) -> None:
    """Write the collection from the OpenAPI document and the plan of its requests (app/health/postman.toml)."""
    document = openapi.document(current_app)
    try:
        written = postman.write(document, postman.read_plan(PLAN.read_text(encoding="utf-8"), document))
    except postman.PlanError as error:
        raise click.ClickException(f"{PLAN.name} and the OpenAPI document disagree:\n{error}") from error
    path = Path(postman.FILE_NAME)
    if check and (not path.exists() or path.read_bytes() != written):
        raise click.ClickException(f"{path} is stale: run `flask postman write`.")
    if not check:
        path.write_bytes(written)
