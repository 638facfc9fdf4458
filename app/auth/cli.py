"""`flask service-accounts …` and `flask users …`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from app.auth import service
from app.auth.models import SignInMethod
from app.auth.schemas import NewPersonSchema, NewServiceAccountSchema
from app.core.commands import CommandGroup
from app.core.database import transaction
from app.core.security import SERVICE_ROLES, STAFF_ROLES
from app.core.tenancy import tenant
from app.members import queries as people
from app.members import service as members
from app.members.models import ROLE_OF_TYPE, UserType
from app.tenants import queries as tenants

# Students are left out: they have a username and no address.
_ROLES = [*STAFF_ROLES, *(role for kind, role in ROLE_OF_TYPE.items() if kind is not UserType.STUDENT)]
_in_tenant = click.option("--tenant", "slug", required=True, help="The tenant's slug.")

service_accounts = CommandGroup("service-accounts", help="Programs that use the service, and their keys.")
users = CommandGroup("users", help="People who use the service.")


@service_accounts.command("create")
@_in_tenant
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
    with _tenant_of(slug), transaction():
        account = service.create_service_account(**fields, role=role)
        key, _ = service.create_key(account.id)
    click.echo(key)


@users.command("create")
@_in_tenant
@click.option("--email", required=True, help="For sign-in and mail.")
@click.option("--role", required=True, type=click.Choice([role.value for role in _ROLES]), help="What they may do.")
@click.option("--name", help="As people say it; by default what stands before the @.")
@click.option(
    "--password-stdin",
    "has_password",
    is_flag=True,
    help="Read a password, one line, from stdin; without one they sign in by magic link.",
)
def create_user(slug: str, email: str, role: str, name: str | None, *, has_password: bool) -> None:
    """Create a user and print the id."""
    kind = next((kind for kind, only in ROLE_OF_TYPE.items() if only == role), UserType.STAFF)
    password = sys.stdin.readline().rstrip("\r\n") if has_password else None
    given = {"type": kind.value, "role": role, "email": email, "name": name or email.partition("@")[0]}
    fields = NewPersonSchema().load({**given, "password": password})
    fields["password"] = members.new_password(password, personal=[fields["name"], email])
    with _tenant_of(slug):
        person = members.create_user(**fields)
    click.echo(str(person.id))


@users.command("token")
@_in_tenant
@click.option("--email", required=True, help="Whose token it is to be.")
def create_token(slug: str, email: str) -> None:
    """Sign a user in and print the access token, and nothing else, on stdout."""
    with _tenant_of(slug), transaction():
        person = people.user_by_email(email, lock=True)
        if person is None or not person.is_active:
            raise click.ClickException(f"The tenant {slug!r} has no active user with this e-mail address.")
        begun = service.begin_session(person, method=SignInMethod.COMMAND)
    click.echo(begun.access_token)


@contextmanager
def _tenant_of(slug: str) -> Iterator[None]:
    summary = tenants.tenant_summary(slug)
    if summary is None:
        raise click.ClickException(f"There is no tenant {slug!r}; `flask tenants list` shows all.")
    with tenant(summary.id):
        yield
