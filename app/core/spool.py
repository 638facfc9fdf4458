"""Bodies without a limit, which wait on disk: taken in at the client's pace, and read from there in whole lines.

So a body costs no memory, whatever its length, and a slow client no thread and no transaction: what it sends is worked
on when all of it is there. The file has no name, so it is gone with the process however that ends.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from tempfile import TemporaryFile
from typing import IO, Any, Final, TypeVar

from flask import Request, current_app
from werkzeug.exceptions import HTTPException

from app.core.errors import MAX_BODY_BYTES, BadRequest, Busy
from app.settings import current_settings

log = logging.getLogger(__name__)
_View = TypeVar("_View", bound=Callable[..., Any])
LINES: Final = "application/x-ndjson"
# Where the gateway leaves a body that is in.
SPOOL: Final = "library.spool"
# What the disk keeps for others. It is looked at now and then: a body without a limit may fill any disk.
SPARE_BYTES: Final = 512 * 1024 * 1024
_LOOK_BYTES: Final = MAX_BODY_BYTES
_PIECE_BYTES: Final = 64 * 1024
_BLOCK_BYTES: Final = 1024 * 1024


class Spool:
    """One body on disk; what it says is hashed while it comes in."""

    def __init__(self, folder: str | None) -> None:
        """Open a file in `folder`; None is the system's place for such."""
        self._file: IO[bytes] = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by whoever answers the request
        self._hash = hashlib.sha256()
        self._look_at = _LOOK_BYTES
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            OSError: the disk is full, or nearly so.
        """
        self._file.write(piece)
        self._hash.update(piece)
        self.size_bytes += len(piece)
        if self.size_bytes >= self._look_at:
            self._look_at += _LOOK_BYTES
            disk = os.fstatvfs(self._file.fileno())
            if disk.f_bavail * disk.f_frsize < SPARE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @property
    def digest(self) -> bytes:
        """SHA-256 of all that was written."""
        return self._hash.digest()

    def blocks_of_lines(self, *, longest_bytes: int) -> Iterator[list[bytes]]:
        """The lines from the first on, without their ends, about a megabyte at once.

        A line longer than `longest_bytes` comes cut off after one byte more, and ends the blocks.
        """
        self._file.seek(0)
        rest = b""
        while piece := self._file.read(_BLOCK_BYTES):
            lines = (rest + piece).split(b"\n")
            rest = lines.pop()
            if lines:
                yield lines
            if len(rest) > longest_bytes:
                yield [rest[: longest_bytes + 1]]
                return
        if rest:
            yield [rest]

    def close(self) -> None:
        """Throw it away."""
        self._file.close()


def streams(view: _View) -> _View:
    """Mark a POST whose body may also be lines (NDJSON) without a limit, which are read by `spooled_body`."""
    view.streams = True  # type: ignore[attr-defined]  # functions carry attributes; wraps() hands them on
    return view


def takes_streams(view: Callable[..., Any] | None) -> bool:
    """True for a view with that mark."""
    return getattr(view, "streams", False)


def is_stream(req: Request) -> bool:
    """True where the request's body is such lines, for a view that takes them."""
    return req.mimetype == LINES and takes_streams(current_app.view_functions.get(req.endpoint or ""))


def spooled_body(req: Request) -> Spool:
    """The body of a stream, all of it: as the gateway has taken it in, or, behind another server, taken in now.

    Raises:
        BadRequest: it has not come in whole.
        Busy: the disk has no room for it.
    """
    found: Spool | None = req.environ.get(SPOOL)
    return found or _taken_in(req)


def let_go(environ: dict[str, Any]) -> None:
    """Throw a request's spool away, if it has one."""
    spool: Spool | None = environ.pop(SPOOL, None)
    if spool is not None:
        spool.close()


def _taken_in(req: Request) -> Spool:
    try:
        spool = req.environ[SPOOL] = Spool(current_settings().spool_folder)
        for piece in _pieces(req):
            spool.write(piece)
    except OSError as error:
        log.warning("body.no_room", extra={"error": str(error)})
        raise Busy from error
    if req.content_length is not None and spool.size_bytes != req.content_length:
        raise BadRequest("The body was cut off.")
    return spool


def _pieces(req: Request) -> Iterator[bytes]:
    try:
        while piece := req.stream.read(_PIECE_BYTES):
            yield piece
    except HTTPException:
        raise
    except Exception as error:
        # Servers have errors of their own for a body that they can't read.
        raise BadRequest("The body can't be read.") from error
