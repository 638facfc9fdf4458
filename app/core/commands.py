"""Groups of `flask` commands, which say in one line why they failed."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError

from app.core.errors import DatabaseUnavailable, DomainError


class CommandGroup(AppGroup):
    """A domain's commands; what a domain refuses, and a database that is away, end them with status 1 and one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was typed.

        Raises:
            ClickException: it was refused or could not be done; click shows the line and exits.
        """
        try:
            return super().invoke(ctx)
        except DomainError as error:
            raise click.ClickException(error.detail) from error
        except OperationalError as error:
            raise click.ClickException(DatabaseUnavailable().detail) from error
