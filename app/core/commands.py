"""Groups of `flask` commands, which say in a line why they failed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from flask.cli import AppGroup
from marshmallow import ValidationError
from psycopg2 import Error as DriverError
from sqlalchemy.exc import DBAPIError

from app.core.errors import DomainError, FieldError, database_is_away, field_errors
from app.core.security import SYSTEM, acting_as


class CommandGroup(AppGroup):
    """A domain's commands; what can't be done ends them with status 1 and a line, or one for each value refused.

    They are the system's own work: whoever reaches them may do everything.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was typed.

        Raises:
            ClickException: it was refused or could not be done; click shows the line and exits.
        """
        try:
            with _less_logged(), acting_as(SYSTEM):
                return super().invoke(ctx)
        except ValidationError as error:
            raise click.ClickException(_lines(list(field_errors(error.messages)))) from error
        except DomainError as error:
            raise click.ClickException(_why(error)) from error
        except DBAPIError as error:
            if not database_is_away(error):
                raise
            raise click.ClickException(postgresql_says(error)) from error
        except OSError as error:
            if error.filename is None:
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}.") from error


@contextmanager
def _less_logged() -> Iterator[None]:
    """Within the block the level INFO shows warnings only: what was done, a command says itself. DEBUG shows all."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.WARNING if level == logging.INFO else level)
    try:
        yield
    finally:
        root.setLevel(level)


def postgresql_says(error: DriverError | DBAPIError) -> str:
    """What PostgreSQL or its driver says, in its first line: who runs commands can mend an address or a password."""
    said = str(getattr(error, "orig", error))
    return f"PostgreSQL: {said.strip().partition(chr(10))[0]}"


def _why(error: DomainError) -> str:
    if error.errors:
        return _lines(error.errors)
    cause = error.__cause__
    return postgresql_says(cause) if isinstance(cause, DriverError | DBAPIError) else error.detail


def _lines(faults: list[FieldError]) -> str:
    return "\n".join(f"{fault['field']}: {fault['message']}" for fault in faults)
