"""Every setting of the service, read, typed and checked once at start.

The only module that reads `os.environ`. All faults are reported together, each by its variable's name, so that a
deployment is mended in one go. Units stand in the names.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from dotenv import dotenv_values
from flask import current_app
from redis.connection import parse_url
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

_DEVELOPMENT_SECRET = "development-only-secret-never-use-it-in-production"  # noqa: S105 - refused in production
_DEVELOPMENT_PII_KEY = b"development-only-pii-key-32bytes"
_DEVELOPMENT_PII_KEYS = "dev:" + base64.b64encode(_DEVELOPMENT_PII_KEY).decode()
# Of every role in docker-compose.override.yml.
_DEVELOPMENT_PASSWORD = "development-only"  # noqa: S105 - refused in production
_MIN_SECRET_CHARACTERS = 32
_PII_KEY_BYTES = 32
_OR_LOCALLY = ", or use `make run`, and `make flask` for commands."
# So much alike are names that differ by a letter or two; variables of other programs are less so.
_ALIKE = 0.9
_N = TypeVar("_N", int, float)
_WINDOW_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class Environment(StrEnum):
    """Where the process runs; decides which defaults exist."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class SettingsError(Exception):
    """The environment is not usable; `faults` names every variable and what to do about it."""

    def __init__(self, faults: list[str]) -> None:
        """Keep all faults and join them into one message."""
        self.faults = faults
        super().__init__("The settings are not usable:\n" + "\n".join(f"  - {fault}" for fault in faults))


@dataclass(frozen=True)
class Rate:
    """At most `limit` hits in any window of `window_seconds`."""

    limit: int
    window_seconds: int


@dataclass(frozen=True)
class Settings:
    """The settings; field names carry units, `.env.example` explains each variable."""

    environment: Environment
    database_url: str
    database_owner_url: str
    database_pool_size: int
    database_max_overflow: int
    database_statement_timeout_ms: int
    redis_url: str
    secret_key: str
    pii_keys: tuple[tuple[str, bytes], ...]
    access_token_seconds: int
    refresh_token_days: int
    # Each issuer with the audiences that are ours.
    oidc_issuers: Mapping[str, frozenset[str]]
    smtp_url: str | None
    mail_from: str
    magic_link_url: str | None
    api_rate: Rate
    ingestion_rate: Rate
    auth_rate: Rate
    session_rate: Rate
    catalogue_rate: Rate
    inventory_write_rate: Rate
    inventory_read_rate: Rate
    trusted_proxies: int
    force_https: bool
    cors_origins: tuple[str, ...]
    open_library_url: str
    open_library_covers_url: str
    open_library_contact: str | None
    open_library_requests_per_second: float
    open_library_timeout_seconds: float
    open_library_cache_hours: float
    re_sync_interval_hours: int
    metrics_token: str | None
    metrics_folder: str | None
    heartbeat_file: str | None
    spool_folder: str | None
    job_lease_seconds: int
    log_level: str
    log_format: str
    web_threads: int
    web_processes: int
    # Variables that nobody reads, each with the setting that is probably meant.
    misspelt: tuple[tuple[str, str], ...]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from `environ` (default: the process's, and `.env` outside production).

        Raises:
            SettingsError: one or more variables are missing or wrong; it names them all.
        """
        return _Reader(_environment_with_dotenv() if environ is None else environ).settings()

    @property
    def is_production(self) -> bool:
        """True where development values are refused."""
        return self.environment is Environment.PRODUCTION

    @property
    def celery_broker_url(self) -> str:
        """`REDIS_URL` as Celery spells it: a socket is `redis+socket://…?virtual_host=n` there."""
        if not self.redis_url.startswith("unix://"):
            return self.redis_url
        parts = urlsplit(self.redis_url)
        return f"redis+socket://{parts.path}?virtual_host={parse_qs(parts.query).get('db', ['0'])[0]}"

    @property
    def limits_storage_url(self) -> str:
        """`REDIS_URL` as `limits` spells it: a socket is `redis+unix://…` there."""
        return re.sub(r"^unix://", "redis+unix://", self.redis_url)


def current_settings() -> Settings:
    """The settings of the current app."""
    settings: Settings = current_app.extensions["settings"]
    return settings


def _environment_with_dotenv() -> Mapping[str, str]:
    if os.environ.get("APP_ENV") == Environment.PRODUCTION:
        return os.environ
    dotenv = Path(__file__).resolve().parent.parent / ".env"
    return {**{key: value or "" for key, value in dotenv_values(dotenv).items()}, **os.environ}


class _Reader:
    """Reads one variable after the other and collects the faults."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: list[str] = []
        self._asked: set[str] = set()
        self._environment = self._choice("APP_ENV", list(Environment), Environment.DEVELOPMENT)

    def settings(self) -> Settings:
        production = self._environment == Environment.PRODUCTION
        contact = self._text("OPEN_LIBRARY_CONTACT", "") or None
        database_url = self._database_url("DATABASE_URL")
        settings = Settings(
            environment=Environment(self._environment),
            database_url=database_url,
            database_owner_url=self._database_url("DATABASE_OWNER_URL", default=database_url),
            database_pool_size=self._integer("DATABASE_POOL_SIZE", 10, 1, 1000),
            database_max_overflow=self._integer("DATABASE_MAX_OVERFLOW", 10, 0, 1000),
            database_statement_timeout_ms=self._integer("DATABASE_STATEMENT_TIMEOUT_MS", 15_000, 100, 3_600_000),
            redis_url=self._redis_url(),
            secret_key=self._secret_key(),
            pii_keys=self._pii_keys(),
            access_token_seconds=self._integer("ACCESS_TOKEN_SECONDS", 900, 10, 86_400),
            refresh_token_days=self._integer("REFRESH_TOKEN_DAYS", 30, 1, 3650),
            oidc_issuers=self._oidc_issuers(),
            smtp_url=self._smtp_url(),
            mail_from=self._mail_from(),
            magic_link_url=self._magic_link_url(),
            api_rate=self._rate_pair("API", 60, 60),
            ingestion_rate=self._rate_pair("INGESTION", 10, 3600),
            auth_rate=self._rate("AUTH_RATE_LIMIT", "5/minute"),
            session_rate=self._rate("SESSION_RATE_LIMIT", "300/minute"),
            catalogue_rate=self._rate("CATALOGUE_RATE_LIMIT", "1000/hour"),
            inventory_write_rate=self._rate("INVENTORY_WRITE_RATE_LIMIT", "10/minute"),
            inventory_read_rate=self._rate("INVENTORY_READ_RATE_LIMIT", "30/minute"),
            trusted_proxies=self._integer("TRUSTED_PROXIES", 0, 0, 10),
            force_https=self._boolean("FORCE_HTTPS", default=production),
            cors_origins=self._origins("CORS_ORIGINS"),
            open_library_url=self._http_url("OPEN_LIBRARY_URL", "https://openlibrary.org"),
            open_library_covers_url=self._http_url("OPEN_LIBRARY_COVERS_URL", "https://covers.openlibrary.org"),
            open_library_contact=contact,
            # The site asks for at most 1 request/s without a contact and 3 with one.
            open_library_requests_per_second=self._number(
                "OPEN_LIBRARY_REQUESTS_PER_SECOND", 3 if contact else 1, 0.01, 100_000
            ),
            open_library_timeout_seconds=self._number("OPEN_LIBRARY_TIMEOUT_SECONDS", 10, 0.1, 300),
            open_library_cache_hours=self._number("OPEN_LIBRARY_CACHE_HOURS", 24, 0, 24 * 365),
            re_sync_interval_hours=self._integer("RE_SYNC_INTERVAL_HOURS", 6, 1, 24 * 365),
            metrics_token=self._text("METRICS_TOKEN", "") or None,
            # prometheus_client reads the variable itself as well, when it is imported.
            metrics_folder=self._text("PROMETHEUS_MULTIPROC_DIR", "") or None,
            heartbeat_file=self._text("HEARTBEAT_FILE", "") or None,
            spool_folder=self._text("SPOOL_FOLDER", "") or None,
            job_lease_seconds=self._integer("JOB_LEASE_SECONDS", 60, 1, 3600),
            log_level=self._choice("LOG_LEVEL", ["DEBUG", "INFO", "WARNING", "ERROR"], "INFO"),
            log_format=self._choice("LOG_FORMAT", ["json", "console"], "json" if production else "console"),
            web_threads=self._integer("WEB_THREADS", 8, 1, 1000),
            web_processes=self._integer("WEB_PROCESSES", os.cpu_count() or 1, 1, 1000),
            misspelt=(),
        )
        misspelt = self._misspelt()
        if self._faults:
            raise SettingsError(
                [*self._faults, *(f"{given} is no setting: is {meant} meant?" for given, meant in misspelt)]
            )
        return replace(settings, misspelt=misspelt)

    def _misspelt(self) -> tuple[tuple[str, str], ...]:
        unset = [name for name in self._asked if name not in self._environ]
        unread = sorted(set(self._environ) - self._asked)
        found = ((name, get_close_matches(name, unset, n=1, cutoff=_ALIKE)) for name in unread)
        return tuple((name, alike[0]) for name, alike in found if alike)

    def _fault(self, name: str, message: str) -> None:
        self._faults.append(f"{name} {message}")

    def _text(self, name: str, default: str) -> str:
        self._asked.add(name)
        return self._environ.get(name, "").strip() or default

    def _choice(self, name: str, choices: list[str], default: str) -> str:
        value = self._text(name, default)
        if value not in choices:
            self._fault(name, f"must be one of {', '.join(choices)}; it is {value!r}.")
            return default
        return value

    def _converted(self, name: str, default: _N, low: _N, high: _N, convert: Callable[[str], _N]) -> _N:
        text = self._text(name, str(default))
        try:
            value = convert(text)
        except ValueError:
            value = None  # reported below with the value that was given
        if value is None or not low <= value <= high:
            self._fault(name, f"must be a number from {low} to {high}; it is {text!r}.")
            return default
        return value

    def _integer(self, name: str, default: int, low: int, high: int) -> int:
        return self._converted(name, default, low, high, int)

    def _number(self, name: str, default: float, low: float, high: float) -> float:
        return self._converted(name, float(default), float(low), float(high), float)

    def _boolean(self, name: str, *, default: bool) -> bool:
        text = self._text(name, str(default)).lower()
        if text not in {"true", "false", "1", "0", "yes", "no"}:
            self._fault(name, f"must be true or false; it is {text!r}.")
        return text in {"true", "1", "yes"}

    def _rate(self, name: str, default: str) -> Rate:
        text = self._text(name, default)
        match = re.fullmatch(r"(\d{1,9})/(second|minute|hour|day)", text)
        if not match or int(match[1]) < 1:
            self._fault(name, f"must read like 30/minute (per second, minute, hour or day); it is {text!r}.")
            return Rate(limit=1, window_seconds=60)
        return Rate(limit=int(match[1]), window_seconds=_WINDOW_SECONDS[match[2]])

    def _rate_pair(self, prefix: str, limit: int, window_seconds: int) -> Rate:
        return Rate(
            limit=self._integer(f"{prefix}_RATE_LIMIT_REQUESTS", limit, 1, 999_999_999),
            window_seconds=self._integer(f"{prefix}_RATE_LIMIT_WINDOW_SECONDS", window_seconds, 1, 86_400),
        )

    def _http_url(self, name: str, default: str) -> str:
        url = self._text(name, default).rstrip("/")
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
            self._fault(name, f"must be an http(s) address; it is {url!r}.")
        return url

    def _oidc_issuers(self) -> Mapping[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for entry in filter(None, (part.strip() for part in self._text("OIDC_ISSUERS", "").split(","))):
            issuer, _, audience = entry.rpartition("=")
            secure = "https://" if self._environment == Environment.PRODUCTION else r"https?://"
            if not re.fullmatch(rf"{secure}[^\s/]+(/\S*)?", issuer) or not audience:
                self._fault("OIDC_ISSUERS", f"must read https://issuer=audience,…; {entry!r} does not.")
            found[issuer] = found.get(issuer, frozenset()) | {audience}
        return found

    def _smtp_url(self) -> str | None:
        url = self._text("SMTP_URL", "")
        is_spelled = re.fullmatch(r"smtps?://([^\s:@/]+:[^\s@/]+@)?[^\s:@/]+(:\d{1,5})?", url)
        if url and not (is_spelled and _is_readable(url, lambda text: urlsplit(text).port)):
            # Without the value: it holds a password.
            self._fault("SMTP_URL", "must read smtp://user:password@host:port, or smtps:// for TLS from the start.")
        return url or None

    def _mail_from(self) -> str:
        address = self._text("MAIL_FROM", "")
        if address and not re.fullmatch(r"[\w!#$%&'*+/=?^`{|}~.-]+@[\w.-]+", address, re.ASCII):
            self._fault(
                "MAIL_FROM", f"must be an address and nothing else, like library@example.org; it is {address!r}."
            )
        if self._environment == Environment.PRODUCTION and self._text("SMTP_URL", "") and not address:
            self._fault("MAIL_FROM", "is missing: mail goes out by SMTP_URL, and is from somebody.")
        return address or "library@localhost"

    def _magic_link_url(self) -> str | None:
        url = self._text("MAGIC_LINK_URL", "")
        if url and not (re.match(r"[a-z][a-z0-9+.-]*://", url) and "{token}" in url):
            self._fault("MAGIC_LINK_URL", f"must be an address with {{token}} in it; it is {url!r}.")
        return url or None

    def _origins(self, name: str) -> tuple[str, ...]:
        origins = tuple(origin for origin in self._text(name, "").replace(",", " ").split() if origin)
        for origin in origins:
            if not re.fullmatch(r"https?://[^\s/]+", origin):
                self._fault(name, f"must list origins like https://app.example.org; {origin!r} is none.")
        return origins

    def _database_url(self, name: str, *, default: str | None = None) -> str:
        url = self._text(name, "")
        if not url:
            if default is not None:
                return default
            self._fault(name, f"is missing: set it to postgresql://user:password@host/database{_OR_LOCALLY}")
        elif not re.match(r"postgres(ql)?(\+psycopg2)?://", url):
            self._fault(name, "must begin with postgresql:// (other databases are not supported).")
        elif not _is_readable(url, make_url):
            self._fault(name, "must read postgresql://user:password@host:port/database.")
        elif self._environment == Environment.PRODUCTION and f":{_DEVELOPMENT_PASSWORD}@" in url:
            self._fault(name, "holds the development password, which everybody knows: set one of your own.")
        # SQLAlchemy 2.1 reads a bare postgresql:// as psycopg 3, which is not the driver here.
        return re.sub(r"^postgres(ql)?(\+psycopg2)?://", "postgresql+psycopg2://", url)

    def _redis_url(self) -> str:
        url = self._text("REDIS_URL", "")
        if not url:
            self._fault("REDIS_URL", f"is missing: set it to redis://host:6379/0{_OR_LOCALLY}")
        elif not re.match(r"(rediss?|unix)://", url):
            self._fault("REDIS_URL", "must begin with redis://, rediss:// or unix://.")
        elif not _is_readable(url, parse_url):
            self._fault("REDIS_URL", "must read redis://user:password@host:port/number.")
        return url

    def _secret(self, name: str, development_value: str) -> str:
        value = self._text(name, "")
        if self._environment != Environment.PRODUCTION:
            return value or development_value
        if not value:
            self._fault(name, "is missing: production has no default for a secret.")
        elif value == development_value:
            self._fault(name, "is the development value, which everybody knows: set one of your own.")
        return value

    def _secret_key(self) -> str:
        value = self._secret("SECRET_KEY", _DEVELOPMENT_SECRET)
        if value and len(value) < _MIN_SECRET_CHARACTERS:
            self._fault("SECRET_KEY", f"must have at least {_MIN_SECRET_CHARACTERS} characters.")
        return value

    def _pii_keys(self) -> tuple[tuple[str, bytes], ...]:
        given = self._secret("PII_KEYS", _DEVELOPMENT_PII_KEYS)
        entries = given.split(",") if given else []
        keys = dict(filter(None, map(_pii_key, entries)))
        if len(keys) < len(entries):
            self._fault("PII_KEYS", "must read id:base64,… with keys of 32 bytes, the newest first, and no id twice.")
        is_production = self._environment == Environment.PRODUCTION
        if is_production and given != _DEVELOPMENT_PII_KEYS and _DEVELOPMENT_PII_KEY in keys.values():
            self._fault("PII_KEYS", "holds the development key, which everybody knows.")
        return tuple(keys.items())


def _is_readable(url: str, parse: Callable[[str], Any]) -> bool:
    """Say whether those who will use an address can read it."""
    try:
        parse(url)
    except (ValueError, ArgumentError):
        return False
    return True


def _pii_key(entry: str) -> tuple[str, bytes] | None:
    key_id, _, encoded = entry.strip().partition(":")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return (key_id, key) if re.fullmatch(r"[A-Za-z0-9_-]{1,32}", key_id) and len(key) == _PII_KEY_BYTES else None
