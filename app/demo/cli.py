"""`flask demo …`."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from app.core.commands import CommandGroup
from app.demo import service
from app.demo.service import DemoKeys

cli = CommandGroup("demo", help="The demo library.")

_site = click.option("--site", default="http://127.0.0.1:5000", help="Where the service answers.")
_keys_file = click.option(
    "--keys-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(".data/demo.env"),
    help="Where the addresses and keys are written for the shell (default: .data/demo.env).",
)


@cli.command("load")
@_site
@_keys_file
def load_demo(site: str, keys_file: Path) -> None:
    """Make the demo library if there is none, and say how to enter it."""
    _refuse_in_production()
    if not service.is_loaded():
        click.echo(f"Recorded {service.load_demo()} books of Open Library in the library 'demo'.", err=True)
        keys_file.unlink(missing_ok=True)
    service.invite_people()
    is_written = keys_file.exists() and _postman_file(keys_file).exists()
    if not is_written or f"={site}\n" not in keys_file.read_text():
        _write(keys_file, service.make_keys(), site)
    _explain(keys_file, site)


@cli.command("reset")
@_site
@_keys_file
def reset_demo(site: str, keys_file: Path) -> None:
    """Throw the demo library away and make it anew, with new keys."""
    _refuse_in_production()
    service.remove_demo()
    service.load_demo()
    service.invite_people()
    _write(keys_file, service.make_keys(), site)
    _explain(keys_file, site)


def _refuse_in_production() -> None:
    if service.is_production():
        raise click.ClickException("The demo library is for development: its keys lie in a file. Unset APP_ENV.")


def _write(keys_file: Path, keys: DemoKeys, site: str) -> None:
    lines = {"LIBRARY_SITE": site, "LIBRARY": f"{site}/api/v1/tenants/{service.SLUG}", "PLATFORM_KEY": keys.platform}
    lines |= {f"{name.upper()}_KEY": key for name, key in keys.by_account.items()}
    lines["DEMO_PASSWORD"] = f"'{service.PASSWORD}'"
    keys_file.parent.mkdir(parents=True, exist_ok=True)
    # What the Postman collection can't know by itself.
    variables = {"base_url": site, "platform_key": keys.platform}
    variables |= {f"{name}_key": keys.by_account[name] for name in ("librarian", "read_only")}
    environment = {
        "name": "Library API, demo",
        "values": [{"key": name, "value": value, "enabled": True} for name, value in variables.items()],
        "_postman_variable_scope": "environment",
    }
    _write_privately(_postman_file(keys_file), orjson.dumps(environment, option=orjson.OPT_INDENT_2).decode())
    _write_privately(keys_file, "".join(f"export {name}={value}\n" for name, value in lines.items()))


def _accounts() -> str:
    return ",\n                 ".join(service.PEOPLE)


def _postman_file(keys_file: Path) -> Path:
    return keys_file.with_suffix(".postman_environment.json")


def _write_privately(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _explain(keys_file: Path, site: str) -> None:
    click.echo(
        f"""\
  Demo library   {site}/api/v1/tenants/{service.SLUG}
  Demo keys      {keys_file} (PLATFORM_KEY, {", ".join(f"{name.upper()}_KEY" for name in service.ACCOUNTS)})
  Demo accounts  {_accounts()}
                 with the password: {service.PASSWORD}
  For Postman    {_postman_file(keys_file)}, an environment for the collection

Try, in another terminal:

  . {keys_file}
  curl -s -H "Authorization: Bearer $LIBRARIAN_KEY" "$LIBRARY/books/search?q=tolkein"

The README goes on from there."""
    )
