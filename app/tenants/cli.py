"""`flask tenants …`."""

from __future__ import annotations

import click

from app.core.commands import CommandGroup
from app.tenants import queries, service
from app.tenants.models import TenantKind
from app.tenants.schemas import NewTenantSchema

cli = CommandGroup("tenants", help="Libraries, schools and persons.")


@cli.command("create")
@click.option("--slug", required=True, help="Part of every address of the tenant: lower-case letters, digits, hyphens.")
@click.option("--name", required=True, help="As people read it.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in TenantKind]),
    default=TenantKind.LIBRARY.value,
    show_default=True,
    help="What the tenant is.",
)
def create_tenant(slug: str, name: str, kind: str) -> None:
    """Create a tenant and print its id."""
    tenant = service.create_tenant(**NewTenantSchema().load({"slug": slug, "name": name, "kind": kind}))
    click.echo(str(tenant.id))


@cli.command("list")
def list_tenants() -> None:
    """List all tenants: slug, kind, status, name."""
    cursor = None
    while True:
        page = queries.TENANTS.page(limit=500, cursor=cursor, sort="slug")
        for tenant in page["items"]:
            click.echo(f"{tenant['slug']:30} {tenant['kind']:9} {tenant['status']:10} {tenant['name']}")
        cursor = page["next_cursor"]
        if cursor is None:
            return
