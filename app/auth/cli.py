"""`flask service-accounts …`."""

from __future__ import annotations

import click

from app.auth import service
from app.auth.schemas import NewServiceAccountSchema
from app.core.commands import CommandGroup
from app.core.database import transaction
from app.core.security import SERVICE_ROLES
from app.core.tenancy import tenant
from app.tenants import queries as tenants

cli = CommandGroup("service-accounts", help="Programs that use the service, and their keys.")


@cli.command("create")
@click.option("--tenant", "slug", required=True, help="The tenant's slug.")
@click.option("--name", required=True, help="What the account is for.")
@click.option(
    "--role",
    required=True,
    type=click.Choice([role.value for role in SERVICE_ROLES]),
    help="What it may do; platform_admin is for the tenant `platform` alone.",
)
def create_service_account(slug: str, name: str, role: str) -> None:
    """Create a service account with one key and print the key, once, on stdout."""
    # Only the name: by the schema's roles nobody could make the platform's first key.
    fields = NewServiceAccountSchema(only=["name"]).load({"name": name})
    summary = tenants.tenant_summary(slug)
    if summary is None:
        raise click.ClickException(f"There is no tenant {slug!r}; `flask tenants list` shows all.")
    with tenant(summary.id), transaction():
        account = service.create_service_account(**fields, role=role)
        key, _ = service.create_key(account.id)
    click.echo(key)
