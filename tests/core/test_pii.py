"""Personal data: sealed for one person, found by hashes, masked where it is shown."""

from __future__ import annotations

import base64
from collections.abc import Callable
from uuid import UUID

import pytest
from flask import Flask

from app.core import pii
from app.core.pii import UnreadablePersonalData
from app.core.tenancy import NoTenant, tenant

ONE, OTHER = UUID(int=1), UUID(int=2)
ANNA, BOB = UUID(int=3), UUID(int=4)
OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()


def sealed_by(app: Flask) -> tuple[str, bytes]:
    with app.app_context(), tenant(ONE):
        return pii.seal({"name": "Anna Smith"}, of=ANNA)


def test_what_is_sealed_is_opened_for_the_same_person(in_app: Flask) -> None:
    with tenant(ONE):
        key_id, sealed = pii.seal({"name": "Anna Smith", "email": None}, of=ANNA)

        assert pii.unseal(key_id, sealed, of=ANNA) == {"name": "Anna Smith", "email": None}
        assert b"Anna" not in sealed


def test_the_same_is_never_sealed_to_the_same_bytes(in_app: Flask) -> None:
    with tenant(ONE):
        assert pii.seal({"name": "Anna"}, of=ANNA)[1] != pii.seal({"name": "Anna"}, of=ANNA)[1]


def test_another_persons_bytes_do_not_open(in_app: Flask) -> None:
    key_id, sealed = sealed_by(in_app)

    with tenant(ONE), pytest.raises(UnreadablePersonalData, match="does not open"):
        pii.unseal(key_id, sealed, of=BOB)
    with tenant(OTHER), pytest.raises(UnreadablePersonalData, match="does not open"):
        pii.unseal(key_id, sealed, of=ANNA)


@pytest.mark.parametrize("at", [0, 11, 12, -1])
def test_altered_bytes_do_not_open(in_app: Flask, at: int) -> None:
    key_id, sealed = sealed_by(in_app)
    altered = bytearray(sealed)
    altered[at] ^= 1

    with tenant(ONE), pytest.raises(UnreadablePersonalData):
        pii.unseal(key_id, bytes(altered), of=ANNA)


@pytest.mark.parametrize("length", [0, 7, 12, 27])
def test_bytes_that_were_cut_off_do_not_open(in_app: Flask, length: int) -> None:
    key_id, sealed = sealed_by(in_app)

    with tenant(ONE), pytest.raises(UnreadablePersonalData):
        pii.unseal(key_id, sealed[:length], of=ANNA)


def test_another_secret_under_the_same_id_does_not_open(make_app: Callable[..., Flask]) -> None:
    key_id, sealed = sealed_by(make_app(PII_KEYS=OLD))

    with (
        make_app(PII_KEYS=NEW.replace("new:", "old:")).app_context(),
        tenant(ONE),
        pytest.raises(UnreadablePersonalData, match="does not open"),
    ):
        pii.unseal(key_id, sealed, of=ANNA)


def test_outside_of_any_tenant_nothing_is_sealed_or_looked_up(in_app: Flask) -> None:
    with pytest.raises(NoTenant):
        pii.seal({}, of=ANNA)
    with pytest.raises(NoTenant):
        pii.look_up_hash("anna@example.org", purpose="email")


def test_older_keys_open_and_the_newest_seals(make_app: Callable[..., Flask]) -> None:
    key_id, sealed = sealed_by(make_app(PII_KEYS=OLD))

    with make_app(PII_KEYS=f"{NEW},{OLD}").app_context(), tenant(ONE):
        assert pii.unseal(key_id, sealed, of=ANNA) == {"name": "Anna Smith"}
        assert pii.seal({}, of=ANNA)[0] == pii.newest_key_id() == "new"
    with make_app(PII_KEYS=NEW).app_context(), tenant(ONE), pytest.raises(UnreadablePersonalData, match="no key 'old'"):
        pii.unseal(key_id, sealed, of=ANNA)


def test_a_hash_is_of_one_tenant_one_purpose_and_one_key(make_app: Callable[..., Flask]) -> None:
    def hashed(app: Flask, tenant_id: UUID, purpose: str) -> bytes:
        with app.app_context(), tenant(tenant_id):
            return pii.look_up_hash("anna@example.org", purpose=purpose)

    old, new = make_app(PII_KEYS=OLD), make_app(PII_KEYS=NEW)
    found = {
        hashed(old, ONE, "email"),
        hashed(old, OTHER, "email"),
        hashed(old, ONE, "username"),
        hashed(new, ONE, "email"),
    }

    assert len(found) == 4
    assert hashed(old, ONE, "email") in found
    with make_app(PII_KEYS=f"{NEW},{OLD}").app_context(), tenant(ONE):
        both = pii.look_up_hashes("anna@example.org", purpose="email")
    assert both == [hashed(new, ONE, "email"), hashed(old, ONE, "email")]


@pytest.mark.parametrize("text", ["ANNA@Example.ORG", "  anna@example.org ", "anna@ｅxample.org"])
def test_spellings_that_people_take_for_the_same_are_the_same(in_app: Flask, text: str) -> None:
    with tenant(ONE):
        assert pii.look_up_hash(text, purpose="email") == pii.look_up_hash("anna@example.org", purpose="email")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Two domains that two may own, and letters that only look or sound alike.
        ("anna@straße.de", "anna@strasse.de"),
        ("ſmith@example.org", "smith@example.org"),
        ("anna@example.org", "anna@example.com"),
    ],
)
def test_two_mailboxes_are_two(in_app: Flask, one: str, other: str) -> None:
    with tenant(ONE):
        assert pii.look_up_hash(one, purpose="email") != pii.look_up_hash(other, purpose="email")


def test_a_domain_is_the_same_in_letters_and_as_it_is_registered(in_app: Flask) -> None:
    with tenant(ONE):
        assert pii.look_up_hash("anna@bücher.example", purpose="email") == pii.look_up_hash(
            "Anna@xn--bcher-kva.example", purpose="email"
        )


@pytest.mark.parametrize(
    ("email", "masked"),
    [
        ("john@example.com", "j***@example.com"),
        ("jo@example.com", "j***@example.com"),
        ("j@example.com", "***@example.com"),
        ("élodie@exemple.fr", "é***@exemple.fr"),
        ('j."@"@example.com', "j***@example.com"),
        ("no address", "***"),
    ],
)
def test_a_masked_address_keeps_the_first_character_and_the_domain(email: str, masked: str) -> None:
    assert pii.masked_email(email) == masked
