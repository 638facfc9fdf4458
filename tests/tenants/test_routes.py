"""The endpoints of tenants."""

from __future__ import annotations

from tests.conftest import Library


def test_a_platform_administrator_creates_a_tenant(platform: Library) -> None:
    client = platform.app.test_client()
    headers = {"Authorization": f"Bearer {platform.key('platform_admin')}"}

    made = client.post("/api/v1/tenants", json={"name": "Riverside", "slug": "riverside"}, headers=headers)

    assert made.status_code == 201, made.text
    assert made.headers["Location"] == "/api/v1/tenants/riverside"
    shown = client.get("/api/v1/tenants/riverside", headers=headers)
    assert shown.status_code == 200
    assert shown.json == made.json
    assert client.get("/api/v1/tenants", headers=headers).json["total"] == 2


def test_a_member_sees_its_own_tenant_and_no_other(library: Library, other_library: Library) -> None:
    own = library.get("")
    headers = {"Authorization": f"Bearer {library.key('librarian')}"}
    foreign = other_library.get("", role=None, headers=headers)
    stranger = library.get("", role=None)

    assert own.status_code == 200
    assert foreign.status_code == 404
    assert stranger.status_code == 401
    assert stranger.headers["WWW-Authenticate"]
    assert foreign.headers["Content-Type"] == "application/problem+json"
