"""Settings: read once, all faults named at once, nothing unsafe in production."""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import Rate, Settings, SettingsError

ROOT = Path(__file__).parents[2]
REACHABLE = {"DATABASE_URL": "postgresql://app@db/library", "REDIS_URL": "redis://cache:6379/0"}
PII_KEY = base64.b64encode(b"k" * 32).decode()
PRODUCTION = {
    **REACHABLE,
    "APP_ENV": "production",
    "SECRET_KEY": "a-secret-of-our-own-with-more-than-32-characters",
    "PII_KEYS": f"2026:{PII_KEY}",
}


def faults_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refusal:
        Settings.from_environment(environ)
    return refusal.value.faults


def names_in(faults: list[str]) -> list[str]:
    return sorted({fault.partition(" ")[0] for fault in faults})


def test_an_empty_environment_lacks_only_the_two_addresses() -> None:
    assert names_in(faults_of({})) == ["DATABASE_URL", "REDIS_URL"]
    assert len(faults_of({})) == 2


def test_every_fault_is_named_at_once() -> None:
    faults = faults_of(
        {
            "APP_ENV": "staging",
            "DATABASE_URL": "mysql://db/library",
            "REDIS_URL": "memory://",
            "DATABASE_POOL_SIZE": "many",
            "DATABASE_STATEMENT_TIMEOUT_MS": "1",
            "SECRET_KEY": "short",
            "PII_KEYS": "no-colon",
            "API_RATE_LIMIT_REQUESTS": "0",
            "AUTH_RATE_LIMIT": "5 per minute",
            "SESSION_RATE_LIMIT": "many",
            "CATALOGUE_RATE_LIMIT": "0/hour",
            "TRUSTED_PROXIES": "-1",
            "FORCE_HTTPS": "maybe",
            "CORS_ORIGINS": "*",
            "OPEN_LIBRARY_URL": "openlibrary.org",
            "OPEN_LIBRARY_TIMEOUT_SECONDS": "nan",
            "OPEN_LIBRARY_REQUESTS_PER_SECOND": "inf",
            "LOG_LEVEL": "LOUD",
            "ACCESS_TOKEN_SECONDS": "9",
            "REFRESH_TOKEN_DAYS": "0",
            "OIDC_ISSUERS": "https://accounts.google.com",
            "SMTP_URL": "mail.example.org",
            "MAIL_FROM": "library",
            "MAGIC_LINK_URL": "https://app.example.org/sign-in",
        }
    )

    assert names_in(faults) == [
        "ACCESS_TOKEN_SECONDS",
        "API_RATE_LIMIT_REQUESTS",
        "APP_ENV",
        "AUTH_RATE_LIMIT",
        "CATALOGUE_RATE_LIMIT",
        "CORS_ORIGINS",
        "DATABASE_POOL_SIZE",
        "DATABASE_STATEMENT_TIMEOUT_MS",
        "DATABASE_URL",
        "FORCE_HTTPS",
        "LOG_LEVEL",
        "MAGIC_LINK_URL",
        "MAIL_FROM",
        "OIDC_ISSUERS",
        "OPEN_LIBRARY_REQUESTS_PER_SECOND",
        "OPEN_LIBRARY_TIMEOUT_SECONDS",
        "OPEN_LIBRARY_URL",
        "PII_KEYS",
        "REDIS_URL",
        "REFRESH_TOKEN_DAYS",
        "SECRET_KEY",
        "SESSION_RATE_LIMIT",
        "SMTP_URL",
        "TRUSTED_PROXIES",
    ]


def test_a_slip_of_the_pen_is_told_beside_what_is_missing() -> None:
    faults = faults_of({"DATABSE_URL": "postgresql://app@db/library", "REDIS_URL": "redis://cache"})

    assert names_in(faults) == ["DATABASE_URL", "DATABSE_URL"]
    assert faults[-1] == "DATABSE_URL is no setting: is DATABASE_URL meant?"


def test_a_slip_of_the_pen_alone_stops_nothing() -> None:
    others = {"HOME": "/root", "DATABASE": "x", "REDIS_HOST": "cache", "API_KEY": "x", "LOG_FILE": "x", "PORT": "5000"}

    settings = Settings.from_environment({**REACHABLE, **others, "OPEN_LIBRARY_CONTAC": "a@b.org"})

    assert settings.misspelt == (("OPEN_LIBRARY_CONTAC", "OPEN_LIBRARY_CONTACT"),)
    assert settings.open_library_contact is None


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL"])
@pytest.mark.parametrize("address", ["{}://u:pa55word@host:port/0", "{}://u:pa55word@host:99x/0"])
def test_an_address_that_nobody_could_read_is_refused(name: str, address: str) -> None:
    scheme = "redis" if name == "REDIS_URL" else "postgresql"

    faults = faults_of({**REACHABLE, name: address.format(scheme)})

    assert names_in(faults) == [name]
    assert "pa55word" not in "".join(faults)


def test_faults_never_repeat_a_secret() -> None:
    faults = faults_of(
        {"REDIS_URL": "http://:pa55word@cache", "DATABASE_URL": "mysql://u:pa55word@db/x", "SECRET_KEY": "pa55word"}
    )

    assert "pa55word" not in "".join(faults)


def test_production_has_no_default_for_a_secret() -> None:
    assert names_in(faults_of({**REACHABLE, "APP_ENV": "production"})) == ["PII_KEYS", "SECRET_KEY"]


@pytest.mark.parametrize("keys", ["dev:{known}", "2026:{known}", "2026:{own},old:{known}"])
def test_production_refuses_the_development_values(keys: str) -> None:
    development = Settings.from_environment(REACHABLE)
    known = base64.b64encode(development.pii_keys[0][1]).decode()
    environ = {
        **PRODUCTION,
        "SECRET_KEY": development.secret_key,
        "PII_KEYS": keys.format(known=known, own=PII_KEY),
    }

    assert names_in(faults_of(environ)) == ["PII_KEYS", "SECRET_KEY"]


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_OWNER_URL"])
def test_production_refuses_the_password_of_the_development_containers(name: str) -> None:
    address = "postgresql://library_app:development-only@db/library"

    assert names_in(faults_of({**PRODUCTION, name: address})) == [name]
    assert Settings.from_environment({**REACHABLE, name: address}).environment == "development"


@pytest.mark.parametrize(
    "keys", [",", " , ", "2026", f"2026:{PII_KEY},", f"2026:{PII_KEY},2026:{PII_KEY}", "2026:c2hvcnQ="]
)
def test_keys_for_personal_data_are_complete_and_distinct(keys: str) -> None:
    assert names_in(faults_of({**PRODUCTION, "PII_KEYS": keys})) == ["PII_KEYS"]


def test_production_insists_on_https_and_json_logs() -> None:
    settings = Settings.from_environment(PRODUCTION)

    assert settings.is_production
    assert settings.force_https
    assert settings.log_format == "json"


def test_the_application_keeps_its_defaults() -> None:
    settings = Settings.from_environment(REACHABLE)

    assert settings.api_rate == Rate(60, 60)
    assert settings.ingestion_rate == Rate(10, 3600)
    assert settings.auth_rate == Rate(5, 60)
    assert settings.catalogue_rate == Rate(1000, 3600)
    assert settings.inventory_write_rate == Rate(10, 60)
    assert settings.inventory_read_rate == Rate(30, 60)
    assert settings.database_statement_timeout_ms == 15_000
    assert settings.trusted_proxies == 0
    assert settings.force_https is False
    assert settings.re_sync_interval_hours == 6
    assert settings.access_token_seconds == 900
    assert settings.refresh_token_days == 30
    assert settings.oidc_issuers == {}
    assert (settings.smtp_url, settings.mail_from) == (None, "library@localhost")
    assert settings.magic_link_url is None


def test_an_issuer_may_have_several_audiences() -> None:
    given = (
        "https://id.example.org=web, https://id.example.org=app,https://securetoken.google.com/my-project=my-project"
    )

    assert Settings.from_environment({**REACHABLE, "OIDC_ISSUERS": given}).oidc_issuers == {
        "https://id.example.org": {"web", "app"},
        "https://securetoken.google.com/my-project": {"my-project"},
    }


@pytest.mark.parametrize(
    "issuers", ["https://id.example.org", "https://id.example.org=", "=web", "id.example.org=web", "https://=web"]
)
def test_an_issuer_is_an_address_with_an_audience(issuers: str) -> None:
    assert names_in(faults_of({**REACHABLE, "OIDC_ISSUERS": issuers})) == ["OIDC_ISSUERS"]


def test_production_asks_an_issuer_by_https_only() -> None:
    given = "http://id.example.org=web"

    assert names_in(faults_of({**PRODUCTION, "OIDC_ISSUERS": given})) == ["OIDC_ISSUERS"]
    assert Settings.from_environment({**REACHABLE, "OIDC_ISSUERS": given}).oidc_issuers == {
        "http://id.example.org": {"web"}
    }


@pytest.mark.parametrize(
    "url",
    ["smtp://mail.example.org", "smtp://127.0.0.1:2525", "smtps://library:p%40ss@mail.example.org:465"],
)
def test_a_mail_server_is_an_address(url: str) -> None:
    assert Settings.from_environment({**REACHABLE, "SMTP_URL": url}).smtp_url == url


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.org:587",
        "http://mail.example.org",
        "smtp://",
        "smtp://library:pa55word@",
        "smtp://library:pa55word@mail.example.org:99999",
        "smtp://library:pa55word@mail.example.org/inbox",
        "smtp://library:pa55word@more@mail.example.org",
    ],
)
def test_what_is_no_address_of_a_mail_server_is_refused_without_repeating_it(url: str) -> None:
    faults = faults_of({**REACHABLE, "SMTP_URL": url})

    assert names_in(faults) == ["SMTP_URL"]
    assert "pa55word" not in "".join(faults)


@pytest.mark.parametrize(
    "sender", ["library", "Library <library@example.org>", "a@b.org,c@d.org", "a@b.org\nBcc:c@d.org"]
)
def test_mail_is_from_one_address(sender: str) -> None:
    assert names_in(faults_of({**REACHABLE, "MAIL_FROM": sender})) == ["MAIL_FROM"]


def test_production_that_sends_mail_says_from_whom() -> None:
    by = {"SMTP_URL": "smtps://mail.example.org"}

    assert names_in(faults_of({**PRODUCTION, **by})) == ["MAIL_FROM"]
    assert Settings.from_environment({**PRODUCTION, **by, "MAIL_FROM": "a@b.org"}).mail_from == "a@b.org"
    assert Settings.from_environment({**REACHABLE, **by}).mail_from == "library@localhost"


@pytest.mark.parametrize("url", ["https://app.example.org/sign-in?token={token}", "org.example.app://sign-in#{token}"])
def test_a_magic_link_leads_to_a_page_or_an_app(url: str) -> None:
    assert Settings.from_environment({**REACHABLE, "MAGIC_LINK_URL": url}).magic_link_url == url


@pytest.mark.parametrize("url", ["https://app.example.org/sign-in", "app.example.org/{token}", "{token}"])
def test_a_magic_link_without_its_token_or_an_address_is_none(url: str) -> None:
    assert names_in(faults_of({**REACHABLE, "MAGIC_LINK_URL": url})) == ["MAGIC_LINK_URL"]


@pytest.mark.parametrize(
    ("name", "low", "high"), [("ACCESS_TOKEN_SECONDS", 10, 86_400), ("REFRESH_TOKEN_DAYS", 1, 3650)]
)
def test_tokens_last_between_bounds(name: str, low: int, high: int) -> None:
    assert getattr(Settings.from_environment({**REACHABLE, name: str(low)}), name.lower()) == low
    assert getattr(Settings.from_environment({**REACHABLE, name: str(high)}), name.lower()) == high
    for beyond in (low - 1, high + 1):
        assert names_in(faults_of({**REACHABLE, name: str(beyond)})) == [name]


def test_without_a_contact_open_library_is_asked_once_a_second() -> None:
    assert Settings.from_environment(REACHABLE).open_library_requests_per_second == 1
    with_contact = Settings.from_environment({**REACHABLE, "OPEN_LIBRARY_CONTACT": "librarian@example.org"})
    assert with_contact.open_library_requests_per_second == 3


@pytest.mark.parametrize("given", ["postgres://app@db/library", "postgresql://app@db/library"])
def test_a_database_address_names_its_driver(given: str) -> None:
    settings = Settings.from_environment({**REACHABLE, "DATABASE_URL": given})

    assert settings.database_url == "postgresql+psycopg2://app@db/library"
    assert settings.database_owner_url == settings.database_url


def test_a_redis_socket_is_spelled_for_each_of_its_users() -> None:
    settings = Settings.from_environment({**REACHABLE, "REDIS_URL": "unix:///run/redis.sock?db=2"})

    assert settings.celery_broker_url == "redis+socket:///run/redis.sock?virtual_host=2"
    assert settings.limits_storage_url == "redis+unix:///run/redis.sock?db=2"


def test_every_number_says_its_unit_or_counts_things() -> None:
    counts = {"database_pool_size", "database_max_overflow", "trusted_proxies", "web_threads", "web_processes"}
    units = re.compile(r"_(seconds|hours|ms|days|per_second)$")

    numbers = [each.name for each in dataclasses.fields(Settings) if each.type in {"int", "float"}]

    assert [name for name in numbers if name not in counts and not units.search(name)] == []


def test_the_example_lists_every_variable_and_nothing_else() -> None:
    read = set(re.findall(r'"([A-Z][A-Z_]{3,})"', (ROOT / "app/settings.py").read_text()))
    pairs = {"API", "INGESTION"}
    read -= {"DEBUG", "INFO", "WARNING", "ERROR"}
    read |= {f"{name}_RATE_LIMIT_{part}" for name in pairs for part in ("REQUESTS", "WINDOW_SECONDS")}
    listed = set(re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    # These are read by the commands that start processes and by compose, not by the application.
    others = {"PORT", "WORKER_PROCESSES", "COMPOSE_FILE", "IMAGE_TAG", "REVISION"}
    passwords = {"POSTGRES_PASSWORD", "DATABASE_OWNER_PASSWORD", "DATABASE_PASSWORD"}
    assert listed == (read - pairs) | others | passwords


def test_the_example_holds_no_value_that_would_be_refused() -> None:
    example = (ROOT / ".env.example").read_text()
    uncommented = dict(re.findall(r"^#([A-Z][A-Z_]+)=(.+)$", example, re.MULTILINE))

    settings = Settings.from_environment({**uncommented, "OPEN_LIBRARY_CONTACT": "librarian@example.org"})

    defaults = Settings.from_environment({**REACHABLE, "OPEN_LIBRARY_CONTACT": "librarian@example.org"})
    differing = {
        each.name
        for each in dataclasses.fields(Settings)
        if getattr(settings, each.name) != getattr(defaults, each.name)
    }
    assert differing <= {"database_url", "database_owner_url", "redis_url", "web_processes"}


@pytest.mark.parametrize("entry", ["wsgi", "celery_worker"])
def test_a_process_that_can_not_start_says_why_in_one_go(entry: str) -> None:
    environ = {"PATH": os.environ["PATH"], "APP_ENV": "production", "PYTHONDONTWRITEBYTECODE": "1"}

    outcome = subprocess.run(
        [sys.executable, "-c", f"import {entry}"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert outcome.returncode == 1
    assert "Traceback" not in outcome.stderr
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "PII_KEYS"):
        assert f"- {name} " in outcome.stderr
