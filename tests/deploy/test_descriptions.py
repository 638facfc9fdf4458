"""The files that describe processes and settings say the same as the code, and what they should say."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import create_engine, text

from app.core.queue import QueueName
from app.settings import Settings
from deploy.local import run
from deploy.local.engines import Engines
from tests.deploy.containers import (
    BASE,
    DEVELOPMENT,
    PRODUCTION,
    PROJECT,
    MissingVariableError,
    command_of_image,
    copied,
    instruction,
    instructions,
    stack,
)

PROCFILE = dict(line.split(": ", 1) for line in (PROJECT / "Procfile").read_text().splitlines())
SECRETS = {
    "POSTGRES_PASSWORD": "superuser",
    "DATABASE_OWNER_PASSWORD": "owner",
    "DATABASE_PASSWORD": "application",
    "SECRET_KEY": "signs",
    "PII_KEYS": "hides",
}
OURS = ("migrate", "web", "worker", "beat")
# What each place says for itself; the rest of a command is the same everywhere.
OPTIONS_OF_A_PLACE = {"--host", "--port"}


class Recorder(Mapping[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        """Hold what has no default."""
        self.asked: set[str] = set()
        self._values = {"DATABASE_URL": "postgresql://host/library", "REDIS_URL": "redis://host"}

    def __getitem__(self, name: str) -> str:
        """Remember the name, whether there is a value or not."""
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names that have a value."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count them."""
        return len(self._values)


def settings_read() -> set[str]:
    """Return the names of all settings the application reads."""
    recorder = Recorder()
    Settings.from_environment(recorder)
    return recorder.asked


def options(command: str) -> set[tuple[str, str]]:
    """The options of a web server or celery command, each with its value, without what is particular to one place."""
    words = shlex.split(re.sub(r"\$\{\w+:-(\w+)\}", r"\1", command.replace("=", " ")))
    pairs = zip(words, [*words[1:], ""], strict=True)
    found = {(word, "" if value.startswith("-") else value) for word, value in pairs if word.startswith("--")}
    return {(word, value) for word, value in found if word not in OPTIONS_OF_A_PLACE}


def commands_of_make_run() -> dict[str, str]:
    """What `make run` starts, with the numbers that the other places have by default."""
    environment = {"WEB_PROCESSES": "2", "WEB_THREADS": "8", "WORKER_PROCESSES": "2"}
    plan = run.service(environment, folder=PROJECT / ".data")
    return {program.name: shlex.join(program.command) for program in plan.programs}


def test_the_example_sets_nothing() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == []


@pytest.mark.parametrize("file", [BASE, DEVELOPMENT, PRODUCTION], ids=lambda file: str(file.name))
def test_compose_files_keep_to_the_specification(file: Path) -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]

    outcome = subprocess.run(checker, capture_output=True, text=True, timeout=60, check=False)

    assert (outcome.returncode, outcome.stdout.strip()) == (0, "ok -- validation done"), outcome.stdout


def test_compose_hands_on_every_setting_and_nothing_else() -> None:
    services = stack(BASE, PRODUCTION, environ=SECRETS)

    given = set().union(*(services[name]["environment"] for name in OURS))
    assert given == settings_read()


def test_development_needs_nothing_and_production_every_secret() -> None:
    development = stack(BASE, DEVELOPMENT)
    production = stack(BASE, PRODUCTION, environ=SECRETS)

    assert {development[name]["environment"]["APP_ENV"] for name in OURS} == {"development"}
    assert {production[name]["environment"]["APP_ENV"] for name in OURS} == {"production"}
    assert production["web"]["environment"]["DATABASE_URL"] == "postgresql://library_app:application@db/library"
    assert production["migrate"]["environment"]["DATABASE_OWNER_URL"] == "postgresql://library_owner:owner@db/library"
    assert "development-only" not in str(production)


@pytest.mark.parametrize("name", SECRETS)
def test_production_does_not_start_without_a_secret_and_names_it(name: str) -> None:
    with pytest.raises(MissingVariableError, match=f"^{name}: set it in .env"):
        stack(BASE, PRODUCTION, environ={**SECRETS, name: ""})


def recipe(*, with_mail: bool) -> dict[str, str]:
    """The `.env` that the README makes for production, with secrets of the right form; what it comments is for mail."""
    block = re.search(r"cat > \.env <<END\n(.*?)\nEND\n", (PROJECT / "README.md").read_text(), re.DOTALL)
    assert block, "The README no longer says how production is set up."
    lines = re.findall(r"^(#?)([A-Z_]+)=(.*)$", block[1], re.MULTILINE)
    made = {"SECRET_KEY": "s" * 64, "PII_KEYS": f"2026:{'A' * 43}="}
    return {
        name: made.get(name, "made" if "$(" in value else value) for mark, name, value in lines if with_mail or not mark
    }


@pytest.mark.parametrize("with_mail", [False, True])
def test_the_readmes_recipe_is_all_that_production_needs(*, with_mail: bool) -> None:
    environ = recipe(with_mail=with_mail)

    web = stack(BASE, PRODUCTION, environ=environ)["web"]["environment"]

    started = Settings.from_environment(web)
    assert started.is_production
    assert (started.smtp_url is not None) is with_mail
    assert environ.pop("COMPOSE_FILE") == f"{BASE.name}:{PRODUCTION.name}"
    assert environ.keys() - {"TRUSTED_PROXIES", "SMTP_URL", "MAIL_FROM", "MAGIC_LINK_URL"} == SECRETS.keys()


def test_development_and_production_share_no_volume() -> None:
    names = [yaml.safe_load(file.read_text()).get("name") for file in (BASE, DEVELOPMENT, PRODUCTION)]

    assert names == ["library", "library-development", None]


def test_only_migrations_know_the_owner() -> None:
    services = stack(BASE, PRODUCTION, environ=SECRETS)

    assert [name for name in OURS if "owner" in str(services[name]["environment"])] == ["migrate"]


@pytest.mark.parametrize("name", [*OURS, "db", "redis"])
def test_every_container_is_limited_and_confined(name: str) -> None:
    service = stack(BASE)[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "pids_limit", "logging", "stop_grace_period"} <= service.keys()
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert all("size=" in folder for folder in service.get("tmpfs", []))
    # The user of our own image stands in the Dockerfile.
    assert name in OURS or service["user"] not in {"root", "0"}


def test_every_service_that_stays_is_asked_how_it_is() -> None:
    services = stack(BASE)

    # The check of `web` is the image's; `migrate` ends, and its success is waited for.
    asked = {name for name, service in services.items() if "test" in service.get("healthcheck", {})}
    assert asked == {"db", "redis", "worker", "beat"}
    assert services["migrate"]["healthcheck"] == {"disable": True}
    assert services["migrate"]["restart"] == "no"
    for name in ("web", "worker", "beat"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_only_the_web_server_can_be_reached_and_that_from_this_machine() -> None:
    services = stack(BASE, DEVELOPMENT)

    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "web": ["127.0.0.1:5000:5000"]
    }
    assert {name for name, service in services.items() if "outside" in service["networks"]} == {"web", "worker"}
    assert yaml.safe_load(BASE.read_text())["networks"]["inside"] == {"internal": True}


def test_data_lie_in_named_volumes() -> None:
    services = stack(BASE)

    assert services["db"]["volumes"][0] == "postgres:/var/lib/postgresql"
    assert services["redis"]["volumes"] == ["redis:/data"]
    assert services["web"]["volumes"] == ["spool:" + services["web"]["environment"]["SPOOL_FOLDER"]]
    assert yaml.safe_load(BASE.read_text())["volumes"].keys() == {"postgres", "redis", "spool"}


def test_every_place_starts_web_and_worker_alike() -> None:
    services = stack(BASE)
    here = commands_of_make_run()

    web = options(command_of_image()[-1])
    assert {word for word, _ in web} == {"--processes", "--threads"}
    assert options(PROCFILE["web"]) == options(here["web"]) == web
    worker = options(shlex.join(services["worker"]["command"]))
    assert options(PROCFILE["worker"]) == options(here["worker"]) == worker
    assert dict(worker)["--queues"].split(",") == [queue.value for queue in QueueName]


def test_what_the_web_servers_count_begins_in_an_empty_folder() -> None:
    web = stack(BASE)["web"]

    assert web["environment"]["PROMETHEUS_MULTIPROC_DIR"] == "/tmp"  # noqa: S108 - the container's own
    assert any(folder.startswith("/tmp:") for folder in web["tmpfs"])  # noqa: S108 - the container's own
    assert PROCFILE["web"].startswith("PROMETHEUS_MULTIPROC_DIR=$(mktemp -d) ")


def test_images_are_pinned_to_a_patch_release() -> None:
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    images = [service["image"] for service in stack(BASE).values()]

    foreign = {image for image in [*bases, *images] if image != "base" and not image.startswith("library-api:")}
    assert len(foreign) == 3
    assert [image for image in foreign if not re.search(r":\d+\.\d+(\.\d+)?-[a-z]+", image)] == []


def test_the_image_holds_what_runs_and_no_more() -> None:
    wanted = (PROJECT / ".dockerignore").read_text().split()
    sources = {source for given, _ in copied() for source in given}

    assert wanted[0] == "*"
    assert sources == {line.removeprefix("!") for line in wanted if line.startswith("!")}
    assert {source.split("/")[0] for source in sources} & {"tests", "deploy", "bench", ".git", ".env"} == set()


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert instruction("USER") == "10001:10001"


def test_the_image_tells_the_projects_version() -> None:
    project: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]

    assert f'org.opencontainers.image.version="{project["version"]}"' in instruction("LABEL")
    assert f'org.opencontainers.image.licenses="{project["license"]}"' in instruction("LABEL")


def test_the_database_knows_every_option_that_compose_gives_it(running: Engines) -> None:
    given = {word[2:].partition("=")[0] for word in stack(BASE)["db"]["command"] if word.startswith("-c")}
    engine = create_engine(running.database_url.replace("postgresql://", "postgresql+psycopg2://"))

    with engine.connect() as connection:
        known = set(connection.scalars(text("SELECT name FROM pg_settings")))
    engine.dispose()

    assert given
    assert given - known == set()
