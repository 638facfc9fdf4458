"""A client of raw bytes."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Wire:
    """One connection, of which every byte is sent by hand."""

    def __init__(self, port: int, *, seconds: float = 10.0) -> None:
        """Connect; nothing waits longer than `seconds`."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._read = b""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.socket.close()

    def send(self, text: str | bytes) -> None:
        """Send these bytes and no others."""
        self.socket.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))

    def reply(self) -> Reply:
        """Read one answer, of either framing; interim ones are passed over.

        Raises:
            EOFError: the connection ended before.
        """
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        if status < 200:  # interim
            return self.reply()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        if headers.get("transfer-encoding") == "chunked":
            return Reply(status, headers, self._chunks())
        return Reply(status, headers, self._exactly(int(headers.get("content-length", "0"))))

    def line(self) -> str:
        """Read the answer's first line.

        Raises:
            EOFError: the connection ended before.
        """
        return self._until(b"\r\n").decode("latin-1").strip()

    def is_closed(self) -> bool:
        """Wait for the server to close; False if it sends something instead."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._exactly(size)
            self._exactly(2)
        self._exactly(2)
        return body

    def _until(self, end: bytes) -> bytes:
        while end not in self._read:
            self._more()
        found, self._read = self._read.split(end, 1)
        return found + end

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _more(self) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError(self._read)
        self._read += piece
