"""`flask inventory …`."""

from __future__ import annotations

from datetime import datetime

import click
from psycopg2.errors import InsufficientPrivilege, RaiseException
from sqlalchemy.exc import DBAPIError

from app.core.commands import CommandGroup, postgresql_says
from app.inventory import service

cli = CommandGroup("inventory", help="The history of stock.")


@cli.command("detach")
@click.option(
    "--before",
    required=True,
    type=click.DateTime(["%Y-%m"]),
    metavar="YYYY-MM",
    help="The first month that stays.",
)
def detach(before: datetime) -> None:
    """Take the months before this one out of the service, as tables that it doesn't see.

    Their names are printed, a line each. They belong to the role of DATABASE_OWNER_URL: keep them elsewhere (pg_dump
    --table=NAME), or drop them.
    """
    try:
        names = service.detach_months(before.date())
    except DBAPIError as error:
        if not isinstance(error.orig, InsufficientPrivilege | RaiseException):
            raise
        raise click.ClickException(f"{postgresql_says(error)} (DATABASE_OWNER_URL)") from error
    for name in names:
        click.echo(name)
