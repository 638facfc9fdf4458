"""The files that describe processes and settings say the same as the code."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from app.core.queue import QueueName
from app.settings import Settings
from deploy.local import run

PROJECT = Path(__file__).resolve().parent.parent.parent
COMPOSE = (PROJECT / "docker-compose.yml").read_text()
PROCFILE = (PROJECT / "Procfile").read_text()


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


def test_the_example_sets_nothing() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == []


def test_compose_hands_on_every_setting_and_nothing_else() -> None:
    services = yaml.safe_load(COMPOSE)["services"]

    given = set(services["migrate"]["environment"]) | set(services["web"]["environment"])
    assert given == settings_read()


@pytest.mark.parametrize("description", [COMPOSE, PROCFILE, f"--queues={run.QUEUES}"])
def test_workers_consume_every_queue(description: str) -> None:
    consumed = re.search(r"--queues[= ]([a-z,]+)", description)

    assert consumed is not None
    assert set(consumed[1].split(",")) == {queue.value for queue in QueueName}


def test_every_service_is_checked_and_limited() -> None:
    services = yaml.safe_load(COMPOSE)["services"]

    # The health check of `web` is the image's; `migrate` runs once and is waited for.
    assert {name for name, service in services.items() if "test" not in service.get("healthcheck", {})} == {
        "web",
        "migrate",
    }
    assert {name for name, service in services.items() if not {"mem_limit", "cpus"} <= service.keys()} == set()
    assert {name for name, service in services.items() if service.get("ports")} == {"web"}


def test_images_are_pinned() -> None:
    images = re.findall(r"image: (\S+)|^FROM (\S+)", COMPOSE + (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    foreign = [image for image, _ in images if image and not image.startswith("library-api")] + [
        base for _, base in images if base
    ]

    assert len(foreign) == 4
    assert all(re.search(r":\d+\.\d+", image) for image in foreign)
