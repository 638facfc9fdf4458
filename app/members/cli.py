"""`flask secrets …`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from app.core.commands import CommandGroup
from app.core.pii import UnreadablePersonalData
from app.core.tenancy import tenant
from app.members import service
from app.tenants import queries as tenants

cli = CommandGroup("secrets", help="The keys that personal data are kept under.")


@cli.command("rotate")
def rotate() -> None:
    """Write all personal data anew under the newest key of PII_KEYS, while the service runs.

    First give every process the new key behind the old one, so that all can read what it writes; then in front; then
    run this; then take the old one away. It may be broken off and begun again at any time. Join codes end with the key
    they were made under.
    """
    tenant_ids = tenants.tenant_ids()
    outdated = 0
    for tenant_id in tenant_ids:
        with tenant(tenant_id):
            outdated += service.outdated_rows()
    rewritten = 0
    with click.progressbar(length=outdated, label="Users", hidden=not sys.stderr.isatty(), file=sys.stderr) as bar:
        for tenant_id in tenant_ids:
            with tenant(tenant_id):
                for some in _rotated():
                    rewritten += some
                    bar.update(some)
    click.echo(f"{rewritten} users were written anew under the newest key.")


def _rotated() -> Iterator[int]:
    try:
        yield from service.rotate_personal_data()
    except UnreadablePersonalData as error:
        raise click.ClickException(str(error)) from error
