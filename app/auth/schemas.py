"""What comes in and goes out for credentials."""

from __future__ import annotations

from marshmallow import fields, validate

from app.auth.queries import SERVICE_ACCOUNTS
from app.core.schemas import Flag, Items, ListArguments, Moment, StrictSchema, Text, list_of
from app.core.security import SERVICE_ROLES, Permission, Role

# Over the API no administrator makes another: whoever runs the service does, by `flask service-accounts create`.
ACCOUNT_ROLES = [role.value for role in SERVICE_ROLES if role not in (Role.PLATFORM_ADMIN, Role.ADMIN)]
_ALL_ROLES = [role.value for role in Role]
_SCOPES = [permission.value for permission in Permission]


class NewServiceAccountSchema(StrictSchema):
    """A service account to be made."""

    name = Text(max_length=200, required=True, metadata={"example": "Koha at the front desk"})
    role = Text(
        required=True,
        validate=validate.OneOf(ACCOUNT_ROLES),
        metadata={"description": "What its keys may do.", "example": "lms"},
    )
    scopes = Items(
        Text(validate=validate.OneOf(_SCOPES)),
        most=len(_SCOPES),
        load_default=None,
        allow_none=True,
        metadata={"description": "Narrows the role to these permissions; absent: all of the role's.", "example": None},
    )
    expires_at = Moment(
        load_default=None,
        allow_none=True,
        metadata={"description": "When all its keys stop working; null or absent: never.", "example": None},
    )


class ServiceAccountChangesSchema(StrictSchema):
    """What may be changed of a service account; what is absent stays as it is."""

    name = Text(max_length=200, metadata={"example": "Koha"})
    role = Text(validate=validate.OneOf(ACCOUNT_ROLES), metadata={"description": "What its keys may do from now on."})
    scopes = Items(
        Text(validate=validate.OneOf(_SCOPES)),
        most=len(_SCOPES),
        allow_none=True,
        metadata={"description": "Narrows the role to these permissions; null: all of the role's."},
    )
    is_active = Flag(metadata={"description": "False stops all its keys, until it is true again.", "example": True})
    expires_at = Moment(allow_none=True, metadata={"description": "When all its keys stop working; null: never."})


class ServiceAccountKeySchema(StrictSchema):
    """A key without its secret."""

    id = fields.UUID(required=True)
    prefix = fields.String(
        required=True,
        metadata={"description": "The beginning of the key, to know it again by.", "example": "lib_4fK2mQ9xZa"},
    )
    expires_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it stops working; null: with its account.", "example": "2030-01-01T00:00:00Z"},
    )
    revoked_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it was revoked; null: it was not.", "example": None},
    )
    last_used_at = Moment(
        required=True, allow_none=True, metadata={"description": "To the minute.", "example": "2026-02-01T08:15:00Z"}
    )
    created_at = Moment(required=True)


class ServiceAccountSchema(StrictSchema):
    """A service account."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, metadata={"example": "Koha at the front desk"})
    role = fields.String(
        required=True,
        validate=validate.OneOf(_ALL_ROLES),
        metadata={"description": "What its keys may do.", "example": "lms"},
    )
    scopes = fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata={
            "description": "The permissions to which the role is narrowed; null: all of the role's.",
            "example": ["books:read"],
        },
    )
    is_active = fields.Boolean(
        required=True, metadata={"description": "False: none of its keys works.", "example": True}
    )
    expires_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When all its keys stop working; null: never.", "example": None},
    )
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class ServiceAccountWithKeysSchema(ServiceAccountSchema):
    """A service account with its keys."""

    keys = fields.List(
        fields.Nested(ServiceAccountKeySchema),
        required=True,
        metadata={"description": "All of them, those that were revoked or have expired too."},
    )


class ServiceAccountListArguments(ListArguments):
    """Filters and order of the list of service accounts."""

    role = Text(
        validate=validate.OneOf(_ALL_ROLES), metadata={"description": "Only those of this role.", "example": "lms"}
    )
    sort = Text(validate=validate.OneOf(SERVICE_ACCOUNTS.sort_names), load_default=SERVICE_ACCOUNTS.default_sort)


ServiceAccountListSchema = list_of(ServiceAccountSchema)


class NewKeySchema(StrictSchema):
    """A key to be made."""

    expires_at = Moment(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "When it stops working; null or absent: with its account.",
            "example": "2030-01-01T00:00:00Z",
        },
    )


class ShownKeySchema(StrictSchema):
    """A new key, shown this once."""

    id = fields.UUID(required=True)
    key = fields.String(
        required=True,
        metadata={"description": "The credential itself.", "example": "lib_4fK2mQ9xZaT0uW8sB1nE5cR7yH3jL6pD"},
    )
    prefix = fields.String(
        required=True, metadata={"description": "By which you know it again in lists.", "example": "lib_4fK2mQ9xZa"}
    )
    expires_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it stops working; null: with its account.", "example": "2030-01-01T00:00:00Z"},
    )


class MeSchema(StrictSchema):
    """Who the credential belongs to."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf(["user", "service_account"]),
        metadata={"description": "A person, or a program.", "example": "service_account"},
    )
    id = fields.UUID(required=True)
    name = fields.String(required=True, metadata={"example": "Koha at the front desk"})
    role = fields.String(
        required=True,
        validate=validate.OneOf(_ALL_ROLES),
        metadata={"description": "What it is allowed by.", "example": "read_only"},
    )
    permissions = fields.List(
        fields.String(),
        required=True,
        metadata={
            "description": "All that it may do: its role's, narrowed by its scopes.",
            "example": ["books:read", "tenant:read"],
        },
    )
    expires_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When this credential stops working; null: never.", "example": None},
    )
