"""What comes in and goes out for credentials and sign-in."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.auth.queries import SERVICE_ACCOUNTS
from app.core.passwords import MAX_CHARACTERS
from app.core.schemas import Flag, Items, ListArguments, Moment, StrictSchema, Text, list_of
from app.core.security import SERVICE_ROLES, Permission, Role
from app.members.schemas import Email, NewUserSchema, Username, UserSchema

# Over the API no administrator makes another: whoever runs the service does, by `flask service-accounts create`.
ACCOUNT_ROLES = [role.value for role in SERVICE_ROLES if role not in (Role.PLATFORM_ADMIN, Role.ADMIN)]
_ALL_ROLES = [role.value for role in Role]
_SCOPES = [permission.value for permission in Permission]
_EXAMPLE_ACCESS_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJsaWJyYXJ5In0.c2lnbmVk"  # noqa: S105 - it opens nothing
_EXAMPLE_REFRESH_TOKEN = "ref_AZnS9HwaeTuaZD8fK4xdEAAAAAHb1s0cZ9bUu7o4Y1xJvWqK2mQ9xZaT0uW8sA"  # noqa: S105 - nor does it


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


# — sign-in ————————————————————————————————————————————————————————————————————————————————————————


class NewPersonSchema(NewUserSchema):
    """Somebody whom `flask users create` makes."""


class LoginSchema(StrictSchema):
    """An account's name and password."""

    exactly_one_of = ("email", "username")

    email = Email(metadata={"description": "The account's e-mail address.", "example": "anna.smith@example.org"})
    username = Username(
        metadata={"description": "The account's username, instead of an e-mail address.", "example": "rkvb-tmzw-83"}
    )
    password = Text(
        max_length=MAX_CHARACTERS,
        required=True,
        metadata={"description": "The account's password.", "example": "otters swim at dawn"},
    )

    @validates_schema
    def _names_one_account(self, data: dict[str, Any], **_: Any) -> None:
        if sum(name in data for name in self.exactly_one_of) != 1:
            raise ValidationError("Give exactly one of email and username.")


class RefreshSchema(StrictSchema):
    """A refresh token."""

    refresh_token = Text(
        max_length=1000,
        required=True,
        metadata={"description": "From the last answer with tokens.", "example": _EXAMPLE_REFRESH_TOKEN},
    )


class MagicLinkRequestSchema(StrictSchema):
    """An address to which a magic link is to be sent."""

    email = Email(
        required=True, metadata={"description": "The account's e-mail address.", "example": "anna.smith@example.org"}
    )


class MagicLinkSchema(StrictSchema):
    """What a magic link holds."""

    token = Text(
        max_length=1000,
        required=True,
        metadata={"description": "From the mail.", "example": "mag_s0cZ9bUu7o4Y1xJvWqK2mQ9xZaT0uW8sB1nE5cR7yH3"},
    )


class IdTokenSchema(StrictSchema):
    """What an issuer says of somebody."""

    id_token = Text(
        max_length=16_384,
        required=True,
        metadata={
            "description": "An ID token of one of the issuers in `OIDC_ISSUERS`; it can be exchanged once.",
            "example": "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2FjY291bnRzLmdvb2dsZS5jb20ifQ.c2lnbmVk",
        },
    )
    nonce = Text(
        max_length=255,
        load_default=None,
        metadata={
            "description": "The `nonce` that the client sent to the issuer, if it did.",
            "example": "n-0S6_WzA2Mj",
        },
    )


class JoinSchema(StrictSchema):
    """A student who has a class's join code."""

    join_code = Text(
        max_length=40,
        required=True,
        metadata={"description": "From the board; hyphen and case do not matter.", "example": "KQ7M-4XPC"},
    )
    first_name = Text(max_length=100, required=True, metadata={"description": "The first name.", "example": "Kim"})
    last_initial = Text(
        max_length=1,
        required=True,
        validate=validate.Predicate("isalpha", error="Must be a letter."),
        metadata={"description": "The first letter of the last name; no more of it is kept.", "example": "L"},
    )


class AcceptedSchema(StrictSchema):
    """What was promised."""

    message = fields.String(
        required=True,
        metadata={
            "description": "The same for every address.",
            "example": "If the address belongs to an account, a mail is on its way.",
        },
    )


class SignedInSchema(StrictSchema):
    """Tokens, and whose they are."""

    access_token = fields.String(
        required=True,
        metadata={"description": "The credential of the next calls.", "example": _EXAMPLE_ACCESS_TOKEN},
    )
    refresh_token = fields.String(
        required=True,
        metadata={
            "description": "For the next tokens; it works once, for 30 days unless the service is set otherwise.",
            "example": _EXAMPLE_REFRESH_TOKEN,
        },
    )
    token_type = fields.String(required=True, metadata={"description": "How to send it.", "example": "Bearer"})
    expires_in = fields.Integer(
        required=True, metadata={"description": "Seconds until the access token stops working.", "example": 900}
    )
    user = fields.Nested(UserSchema, required=True)


class MeSchema(StrictSchema):
    """Who the credential belongs to."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf(["user", "service_account"]),
        metadata={"description": "A person, or a program.", "example": "service_account"},
    )
    id = fields.UUID(required=True)
    name = fields.String(
        required=True, metadata={"description": "The person's or the program's.", "example": "Koha at the front desk"}
    )
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
    profile = fields.Nested(
        UserSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Of a person: what is known of them; null for a program."},
    )
