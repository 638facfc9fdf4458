"""Every operation, asked by everybody in every way that its description allows and in many that it does not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app.core.security import ROLE_PERMISSIONS, Access, Permission, Role
from tests.contract.campaign import Tally, configuration, run
from tests.contract.places import Place

KEY_OF_ANOTHER_TENANT, JUNK, NOBODY = "another tenant's admin", "a junk credential", "nobody"
ROLES = [Role.PLATFORM_ADMIN, Role.ADMIN, Role.LIBRARIAN, Role.LMS, Role.KIOSK, Role.READ_ONLY]
# Those who may most take longest: they come first, so that two workers end at the same time.
CALLERS = [*ROLES, KEY_OF_ANOTHER_TENANT, JUNK, NOBODY]
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
# A part of a page, of which the document tells nothing.
NOT_DOCUMENTED = {"GET /docs/static/{name}"}
_USER = "/api/v1/tenants/{slug}/users/{user_id}"
# Open to everybody who is signed in, for what is theirs; of all others, those may who have this.
BY_ROW = {
    f"GET {_USER}": Permission.USERS_READ,
    f"PATCH {_USER}": Permission.USERS_MANAGE,
    f"DELETE {_USER}": Permission.USERS_MANAGE,
    f"GET {_USER}/export": Permission.USERS_MANAGE,
    f"POST {_USER}/erase": Permission.USERS_MANAGE,
}
# Of what nobody here has: a session, which keys have none of, and an ID token, which takes an issuer.
NEVER = {"POST /api/v1/tenants/{slug}/auth/logout", "POST /api/v1/tenants/{slug}/auth/oidc"}


def credential(place: Place, caller: str) -> dict[str, str]:
    if caller == NOBODY:
        return {}
    if caller == JUNK:
        return {"Authorization": "Bearer lib_0000000000_none"}
    home = {Role.PLATFORM_ADMIN: place.platform, KEY_OF_ANOTHER_TENANT: place.other}.get(caller, place.library)
    role = Role.ADMIN if caller == KEY_OF_ANOTHER_TENANT else Role(caller)
    place.own_account = home.get("/auth/me", role=role).json["id"]
    return {"Authorization": f"Bearer {home.key(role)}"}


def accesses(app: Flask) -> dict[str, Access]:
    """Who may call each operation, by the name that schemathesis gives it."""
    found = {}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in METHODS & (rule.methods or set()):
            view: Any = app.view_functions[rule.endpoint]
            found[f"{method} {path}"] = view.access
    return found


def may(caller: str, name: str, access: Access) -> bool:
    if access.is_public:
        return True
    if caller not in ROLES:
        return False
    permission = BY_ROW.get(name, access.permission)
    return permission is None or permission in ROLE_PERMISSIONS[Role(caller)]


def table(caller: str, tally: Tally, seconds: float) -> str:
    phases = ", ".join(f"{phase} {count}" for phase, count in tally.phases.items())
    lines = [f"\n{caller}: {tally.cases} requests in {seconds:.0f} s ({phases})"]
    for operation, counted in sorted(tally.statuses.items(), key=lambda each: each[0].split()[::-1]):
        answers = "  ".join(f"{status} × {count}" for status, count in sorted(counted.items()))
        lines.append(f"  {operation:<78}{answers}")
    return "\n".join(lines)


@pytest.mark.timeout(1800)
# Schemathesis reads answers without closing them.
@pytest.mark.filterwarnings("ignore:.*docs:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("caller", CALLERS)
def test_every_answer_is_as_the_document_says(
    place: Place, caller: str, seed: int, examples: int, record_property: Callable[[str, object], None]
) -> None:
    open_to = {name: may(caller, name, access) for name, access in accesses(place.library.app).items()}
    closed = [name for name, is_open in open_to.items() if not is_open]
    config = configuration(credential(place, caller), closed=closed, seed=seed, examples=examples)
    began = time.monotonic()

    tally = run(place, config, runs_the_service=caller == Role.PLATFORM_ADMIN)

    record_property("answers", table(caller, tally, time.monotonic() - began))
    told = "\n\n".join(f"— {name}\n{sample}" for name, sample in tally.faults.items())
    if told:
        pytest.fail(f"{len(tally.faults)} faults as {caller}:\n\n{told}", pytrace=False)
    never = [name for name in tally.statuses if open_to[name] and not tally.successes(name) and name not in NEVER]
    assert not never, f"These were never answered as they should be, so nothing of that was tested: {never}"
    ajar = [name for name in closed if tally.successes(name)]
    assert not ajar, f"{caller} may not do this, but could: {ajar}"
    unasked = set(open_to) - set(tally.statuses) - NOT_DOCUMENTED
    assert not unasked, f"Nobody asked for these: {unasked}"
