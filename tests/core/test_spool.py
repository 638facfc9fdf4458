"""Bodies on disk, and their lines."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import spool
from app.core.spool import Spool
from tests.conftest import Library
from tests.inventory.stock import item, lines_of, write_lines

LONGEST = 8


def lines_in(content: bytes, *, block_bytes: int) -> list[bytes]:
    """The lines that are read from a spool of this content."""
    with closing(Spool(None)) as found, pytest.MonkeyPatch.context() as patched:
        patched.setattr(spool, "_BLOCK_BYTES", block_bytes)
        found.write(content)
        return [line for lines in found.blocks_of_lines(longest_bytes=LONGEST) for line in lines]


@given(st.lists(st.binary(max_size=LONGEST).filter(lambda line: b"\n" not in line)), st.booleans(), st.integers(1, 20))
def test_lines_are_read_whole_whatever_the_blocks(lines: list[bytes], is_ended: bool, block_bytes: int) -> None:  # noqa: FBT001 - drawn
    content = b"\n".join(lines) + (b"\n" if is_ended and lines else b"")
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()

    assert lines_in(content, block_bytes=block_bytes) == expected


def test_a_line_that_is_too_long_ends_the_lines() -> None:
    assert lines_in(b"a\n" + b"x" * 1000 + b"\nb\n", block_bytes=16) == [b"a", b"x" * (LONGEST + 1)]


def test_what_is_written_is_hashed() -> None:
    with closing(Spool(None)) as found:
        for piece in (b"one", b"", b"two"):
            found.write(piece)

        assert (found.size_bytes, found.digest) == (6, hashlib.sha256(b"onetwo").digest())


def test_no_name_is_left_in_the_folder(tmp_path: Path) -> None:
    with closing(Spool(str(tmp_path))) as found:
        found.write(b"x" * 100_000)

        assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_LOOK_BYTES", 1000)
    monkeypatch.setattr(spool, "SPARE_BYTES", 10**18)

    small, large = write_lines(library, lines_of(item())), write_lines(library, lines_of(*[item()] * 100))

    assert (small.status_code, large.status_code, large.json["code"]) == (201, 503, "busy")
    assert "Retry-After" in large.headers


def test_a_folder_that_is_not_there_is_told(make_app: Any, library: Library) -> None:
    library.app = make_app(SPOOL_FOLDER="/no/such/folder")

    answer = write_lines(library, lines_of(item()))

    assert (answer.status_code, answer.json["code"]) == (503, "busy")
