"""No file holds a secret; what only looks like one is settled in its line or in `.secrets.baseline`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from detect_secrets.core import baseline
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import configure_settings_from_baseline

ROOT = Path(__file__).parents[2]
# What git leaves alone, by name.
IGNORED = {".git"} | {Path(line).name for line in (ROOT / ".gitignore").read_text().split()}


def files() -> Iterator[str]:
    """All that git would commit."""
    for folder, folders, names in os.walk("."):
        folders[:] = [name for name in folders if name not in IGNORED]
        yield from (os.path.normpath(os.path.join(folder, name)) for name in names if name not in IGNORED)  # noqa: PTH118


def unsettled(*paths: str) -> list[str]:
    """What looks like a secret in these files, and nobody has looked at."""
    known = baseline.load_from_file(str(ROOT / ".secrets.baseline"))
    configure_settings_from_baseline(known)
    found = SecretsCollection()
    for path in paths:
        found.scan_file(path)
    return [f"{path}:{each.line_number}: {each.type}" for path, each in found - baseline.load(known)]


def test_no_file_holds_what_looks_like_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    found = unsettled(*files())

    assert not found, f"Take it out, or mark the line with `# pragma: allowlist secret` or see `make baseline`: {found}"


def test_a_secret_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text('password = "correct horse"\n')  # pragma: allowlist secret

    assert unsettled(str(tmp_path / "settings.py")) == [f"{tmp_path}/settings.py:1: Secret Keyword"]
