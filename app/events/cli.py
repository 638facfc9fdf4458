"""`flask events …`."""

from __future__ import annotations

import sys
from uuid import UUID

import click

from app.core.commands import CommandGroup
from app.core.tenancy import tenant
from app.events import queries, service

cli = CommandGroup("events", help="The audit trail.")


@cli.command("verify")
@click.option("--tenant", "wanted", help="Only this tenant's: its slug, or, where it was purged, its id.")
def verify_events(wanted: str | None) -> None:
    """Tell whether events were altered or removed by somebody who can write to the database.

    Of every tenant whose events are what was sealed, one line is printed: its slug, the number of sealed events and the
    hash of the newest. Keep these lines elsewhere: whoever may do everything in the database can cut off the newest
    events with their seals, or seal others in their place, and that shows only against a number and a hash that were
    noted before. What is wrong is told on the standard error, a line for each fault, and the status is then 1.
    """
    faults = sum(_verify(tenant_id, name) for tenant_id, name in _trails(wanted).items())
    if faults:
        click.get_current_context().exit(1)


def _trails(wanted: str | None) -> dict[UUID, str]:
    trails = queries.tenants_with_trails()
    if wanted is None:
        return trails
    chosen = {tenant_id: name for tenant_id, name in trails.items() if wanted in (name, str(tenant_id))}
    if not chosen:
        raise click.ClickException(f"There is no tenant {wanted!r}; `flask tenants list` shows all.")
    return chosen


def _verify(tenant_id: UUID, name: str) -> int:
    """Verify one tenant's trail; returns the number of faults."""
    faults = 0
    is_watched = sys.stderr.isatty()

    def report(fault: str) -> None:
        nonlocal faults
        faults += 1
        # Over the bar, which is drawn anew beneath.
        click.echo(f"{_CLEARED if is_watched else ''}{name}: {fault}", err=True)

    with tenant(tenant_id):
        sealed, _ = queries.newest_seal()
        # Each event is looked at twice: along the chain, and along the events.
        with click.progressbar(length=2 * sealed, label=name, file=sys.stderr, hidden=not is_watched) as bar:
            sealed, newest = service.verify(report=report, advance=bar.update)
    if not faults:
        click.echo(f"{name:30} {sealed:>10} {newest.hex() if sealed else '-'}")
    return faults


_CLEARED = "\r\033[K"
