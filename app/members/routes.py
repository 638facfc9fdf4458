"""Endpoints of people."""

from __future__ import annotations

from typing import Any

from flask import Response, g, request, url_for

from app.core.blueprint import Blueprint, beforehand
from app.core.cache import if_match, uncached
from app.core.errors import Forbidden, raises
from app.core.idempotency import idempotent, tells_of
from app.core.limits import Limit, LimitUnavailable, address_counter, charge
from app.core.passwords import SignInBusy
from app.core.schemas import json_response, parse_id
from app.core.security import ActorKind, Permission, current_actor, requires, signed_in
from app.members import queries, service
from app.members.schemas import (
    ErasureSchema,
    GroupChangesSchema,
    GroupListArguments,
    GroupListSchema,
    GroupWithMembersSchema,
    JoinCodeSchema,
    NewGroupSchema,
    NewUserSchema,
    UserChangesSchema,
    UserExportSchema,
    UserListArguments,
    UserListSchema,
    UserSchema,
)

blp = Blueprint(
    "members", __name__, description="People: staff, readers, students and guardians, and the groups they are in."
)


def _new_password(body: dict[str, Any]) -> service.NewPassword:
    if current_actor().kind is ActorKind.ANONYMOUS:
        charge(Limit.AUTH, address_counter(request.remote_addr or ""), cost=1)
    personal = (body.get(name) for name in ("name", "email", "username"))
    return service.new_password(body.get("password"), personal=personal)


def _changed_password(body: dict[str, Any], user_id: str) -> service.NewPassword | None:
    parsed = parse_id(user_id)
    if "password" in body and parsed == current_actor().id:
        # Whoever has got hold of an access token must not guess the password by it.
        charge(Limit.AUTH, current_actor().principal, cost=1)
    return service.changed_password(parsed, body)


@blp.post("/tenants/<slug>/users")
@requires(Permission.USERS_MANAGE, or_public_where="self_registration")
@raises(service.EmailTaken, service.UsernameTaken, SignInBusy, LimitUnavailable)
@blp.arguments(
    NewUserSchema,
    examples={
        "reader": {
            "summary": "A reader",
            "value": {
                "type": "reader",
                "name": "Anna Smith",
                "email": "anna.smith@example.org",
                "password": "otters swim at dawn",
                "reading_ability": "transitional",
                "min_age": 8,
                "max_age": 11,
            },
        },
        "staff": {
            "summary": "Somebody who works for the library, and signs in by magic link",
            "value": {"type": "staff", "role": "librarian", "name": "Li Wei", "email": "li.wei@example.org"},
        },
        "student": {
            "summary": "A student, who gets a username",
            "value": {"type": "student", "name": "Kim L.", "password": "seven small ships"},
        },
    },
)
@beforehand(password=_new_password)
@idempotent
@blp.response(201, UserSchema)
def create_user(body: dict[str, Any], *, password: service.NewPassword) -> Response:
    """Create a user

    Administrators make accounts of every type. Where the tenant has set `self_registration`, strangers make themselves
    readers, with an `email` and a `password`; that counts against `auth` (per address).
    """
    make = service.register if current_actor().kind is ActorKind.ANONYMOUS else service.create_user
    person = make(**{**body, "password": password})
    tells_of(person.id)
    location = url_for("members.show_user", slug=g.tenant.slug, user_id=person.id)
    return json_response(queries.shown(person), 201, {"Location": location})


@blp.get("/tenants/<slug>/users")
@requires(Permission.USERS_READ)
@blp.arguments(UserListArguments, location="query")
@blp.response(200, UserListSchema)
def list_users(arguments: dict[str, Any]) -> Response:
    """List the users

    The newest first. `q` finds a whole e-mail address, or the beginning of a name; `email` is masked for all but
    administrators.
    """
    page = {name: arguments.pop(name) for name in ("limit", "cursor", "sort")}
    return json_response(queries.USERS.page(**page, **queries.narrowed_by(arguments)))


@blp.get("/tenants/<slug>/users/<user_id>")
@signed_in
@blp.response(200, UserSchema)
def show_user(user_id: str) -> Response:
    """Show a user

    People see themselves, administrators and librarians everybody, educators the readers in their groups, and guardians
    the readers linked to them. For everybody else there is no such user.
    """
    return json_response(service.visible_user(parse_id(user_id)))


@blp.patch("/tenants/<slug>/users/<user_id>")
@signed_in
@raises(service.EmailTaken, service.UsernameTaken, service.LastAdmin, SignInBusy, LimitUnavailable, Forbidden)
@blp.arguments(UserChangesSchema, example={"name": "Anna Jones"})
@beforehand(password=_changed_password)
@if_match(show_user)
@blp.response(200, UserSchema)
def update_user(body: dict[str, Any], user_id: str, *, password: service.NewPassword | None) -> Response:
    """Change a user

    A JSON merge patch. People change their name and, knowing the present one, their password, which counts against
    `auth` (per person); administrators change everything but the type. A new password, address, username or role, and
    being kept out, end all sessions of that person at once. The last active administrator can't be demoted or kept out.
    """
    parsed = parse_id(user_id)
    service.update_user(parsed, body, password=password)
    return json_response(service.visible_user(parsed))


@blp.delete("/tenants/<slug>/users/<user_id>")
@signed_in
@raises(service.LastAdmin, Forbidden)
@if_match(show_user)
@blp.response(204)
def delete_user(user_id: str) -> Response:
    """Delete a user

    The same as erasing: nothing that is personal is kept. People delete themselves, and are signed out by it;
    administrators delete anybody but the last administrator.
    """
    service.erase_user(parse_id(user_id))
    return Response(status=204)


@blp.get("/tenants/<slug>/users/<user_id>/export")
@signed_in
@raises(Forbidden)
@uncached
@blp.response(200, UserExportSchema)
def export_user(user_id: str) -> Response:
    """Show everything that is held on a user

    One document, as the law asks for, for the person and for administrators.
    """
    return json_response(service.export_user(parse_id(user_id)))


@blp.post("/tenants/<slug>/users/<user_id>/erase")
@signed_in
@raises(service.LastAdmin, Forbidden)
@idempotent
@blp.response(200, ErasureSchema)
def erase_user(user_id: str) -> Response:
    """Erase a user

    Removes the account with everything that is personal, for good, and looks through every table of the tenant
    afterwards: were anything left, nothing would be erased and the answer would be a 500. The audit trail and the
    versions of books keep an id that nobody bears any more. Whoever erases themselves is signed out by it: to ask once
    more is answered by 401.
    """
    return json_response({"erased": service.erase_user(parse_id(user_id))})


@blp.put("/tenants/<slug>/users/<guardian_id>/readers/<reader_id>")
@requires(Permission.USERS_MANAGE)
@blp.response(204)
def link_reader(guardian_id: str, reader_id: str) -> Response:
    """Link a reader to a guardian

    The guardian then sees the reader, and what the reader may read. Once more changes nothing.
    """
    service.link_reader(parse_id(guardian_id), parse_id(reader_id))
    return Response(status=204)


@blp.delete("/tenants/<slug>/users/<guardian_id>/readers/<reader_id>")
@requires(Permission.USERS_MANAGE)
@blp.response(204)
def unlink_reader(guardian_id: str, reader_id: str) -> Response:
    """Unlink a reader from a guardian

    The guardian no longer sees the reader, from the next request on. Once more changes nothing.
    """
    service.unlink_reader(parse_id(guardian_id), parse_id(reader_id))
    return Response(status=204)


# — groups —————————————————————————————————————————————————————————————————————————————————————————


@blp.post("/tenants/<slug>/groups")
@requires(Permission.GROUPS_MANAGE)
@idempotent
@blp.arguments(NewGroupSchema)
@blp.response(201, GroupWithMembersSchema)
def create_group(body: dict[str, Any]) -> Response:
    """Create a group

    A class, or another circle of readers. An educator's is their own; administrators give it to whom of the staff they
    like. Without `owner_id` it belongs to whoever makes it, and where that is a program, to nobody.
    """
    group = service.create_group(**body)
    location = url_for("members.show_group", slug=g.tenant.slug, group_id=group.id)
    return json_response(service.visible_group(group.id), 201, {"Location": location})


@blp.get("/tenants/<slug>/groups")
@requires(Permission.GROUPS_MANAGE)
@blp.arguments(GroupListArguments, location="query")
@blp.response(200, GroupListSchema)
def list_groups(arguments: dict[str, Any]) -> Response:
    """List the groups

    Administrators see all, educators those of their own. Ask for one group to see who is in it.
    """
    return json_response(queries.visible_groups(**arguments))


@blp.get("/tenants/<slug>/groups/<group_id>")
@requires(Permission.GROUPS_MANAGE)
@blp.response(200, GroupWithMembersSchema)
def show_group(group_id: str) -> Response:
    """Show a group with its members

    Of the members, what a class register has; ask for one to see more.
    """
    return json_response(service.visible_group(parse_id(group_id)))


@blp.patch("/tenants/<slug>/groups/<group_id>")
@requires(Permission.GROUPS_MANAGE)
@if_match(show_group)
@blp.arguments(GroupChangesSchema, example={"name": "Class 4b", "description": None})
@blp.response(200, GroupWithMembersSchema)
def update_group(body: dict[str, Any], group_id: str) -> Response:
    """Change a group

    A JSON merge patch. Only administrators give a group to somebody else.
    """
    parsed = parse_id(group_id)
    service.update_group(parsed, body)
    return json_response(service.visible_group(parsed))


@blp.delete("/tenants/<slug>/groups/<group_id>")
@requires(Permission.GROUPS_MANAGE)
@if_match(show_group)
@blp.response(204)
def delete_group(group_id: str) -> Response:
    """Delete a group

    The people in it stay, with everything of theirs.
    """
    service.delete_group(parse_id(group_id))
    return Response(status=204)


@blp.post("/tenants/<slug>/groups/<group_id>/join-code")
@requires(Permission.GROUPS_MANAGE)
@idempotent
@blp.response(201, JoinCodeSchema)
def create_join_code(group_id: str) -> Response:
    """Create a join code

    Whoever has it joins the group as a student, for 14 days. It is in this answer and nowhere else; a new one ends the
    one before.
    """
    code, expires_at = service.create_join_code(parse_id(group_id))
    location = url_for("members.show_group", slug=g.tenant.slug, group_id=group_id)
    headers = {"Location": location, "Cache-Control": "no-store"}
    return json_response({"join_code": code, "expires_at": expires_at}, 201, headers)


@blp.put("/tenants/<slug>/groups/<group_id>/members/<user_id>")
@requires(Permission.GROUPS_MANAGE)
@raises(service.GroupFull)
@blp.response(204)
def add_member(group_id: str, user_id: str) -> Response:
    """Put a reader into a group

    Readers and students. Educators put in whom they see already, from another group of their own; everybody else joins
    by code or is put in by an administrator. Once more changes nothing.
    """
    service.add_member(parse_id(group_id), parse_id(user_id))
    return Response(status=204)


@blp.delete("/tenants/<slug>/groups/<group_id>/members/<user_id>")
@requires(Permission.GROUPS_MANAGE)
@blp.response(204)
def remove_member(group_id: str, user_id: str) -> Response:
    """Take a reader out of a group

    The account stays. Once more changes nothing; to an educator who sees the reader no longer, there is none then.
    """
    service.remove_member(parse_id(group_id), parse_id(user_id))
    return Response(status=204)
