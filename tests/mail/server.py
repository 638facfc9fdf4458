"""A mail server of the tests' own; it takes mails, or does what a bad day makes real ones do."""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.core.clock import utc_now

HOST = "127.0.0.1"


@dataclass
class MailServer:
    """What it was sent, and what it answers."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    # Of each mail: what the client said of it beside the sender's address, and whether it was encrypted.
    options: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    while_taking: Callable[[], object] = lambda: None

    @property
    def url(self) -> str:
        """Its address, without encryption from the start."""
        return f"smtp://{HOST}:{self.port}"

    def answer(self, word: str, usual: str = "250 OK") -> str:
        """What it says to this word of the client's."""
        return self.answers.get(word, usual)

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a sender, or refuse."""
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.answer("MAIL")

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a recipient, or refuse."""
        if self.answer("RCPT").startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer("RCPT")

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a mail, or refuse."""
        if self.answer("DATA").startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, policy=policy.default.clone(utf8=True)))
            self.options.append(envelope.mail_options)
            self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
            self.while_taking()
        return self.answer("DATA")

    async def handle_QUIT(self, _server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Say goodbye."""
        return self.answer("QUIT", "221 Bye")

    def let_in(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        """Note who signs in, and let everybody who knows the password."""
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login, given.password))
        # `handled` would mean that the refusal has been sent already.
        return AuthResult(success=given.password == b"p@ss word", handled=False)


@contextmanager
def mail_server(*, encrypted_by: ssl.SSLContext | None = None, **options: Any) -> Iterator[MailServer]:
    """A server that answers for as long as the block lasts; `options` are those of aiosmtpd's `SMTP`.

    With `encrypted_by` it is encrypted from the start.
    """
    # It logs what it is told, addresses too; it is the service's log that is looked at.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    server = MailServer(port=free_port())
    controller = Controller(
        server,
        hostname=HOST,
        port=server.port,
        ssl_context=encrypted_by,
        authenticator=server.let_in,
        **{"enable_SMTPUTF8": True, **options},
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def certificate(folder: Path, host: str = HOST) -> tuple[Path, ssl.SSLContext]:
    """A certificate for `host` that it has signed itself: the file for who trusts it, and the server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the tests' mail server")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(utc_now() - timedelta(hours=1))
        .not_valid_after(utc_now() + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, own = folder / "trusted.pem", folder / "server.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    own.write_bytes(
        trusted.read_bytes()
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    return trusted, context
