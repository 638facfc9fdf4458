"""What comes in and goes out for people."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from app.core.passwords import MAX_CHARACTERS, MIN_CHARACTERS
from app.core.schemas import Flag, ListArguments, Moment, StrictSchema, Text, WholeNumber, list_of
from app.core.security import STAFF_ROLES, Role
from app.core.text import EMAIL_ADDRESS
from app.members.models import ROLE_OF_TYPE, ReadingAbility, UserType
from app.members.queries import GROUPS, USERS

_TYPES = [each.value for each in UserType]
# Over the API nobody is made a platform administrator elsewhere than in the tenant `platform`; the service sees to it.
_STAFF_ROLES = [role.value for role in STAFF_ROLES]
_ROLES = [*_STAFF_ROLES, *dict.fromkeys(role.value for role in ROLE_OF_TYPE.values())]
_ABILITIES = [each.value for each in ReadingAbility]
_OLDEST = 120
_USERNAME = r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*\Z"


class Email(Text):
    """An e-mail address."""

    def __init__(self, **kwargs: Any) -> None:
        """Take at most 254 characters, as SMTP does."""
        kwargs["validate"] = validate.Regexp(EMAIL_ADDRESS, error="Must be an e-mail address.")
        super().__init__(max_length=254, **kwargs)


class Username(Text):
    """A name to sign in by."""

    def __init__(self, **kwargs: Any) -> None:
        """Take letters and digits, with single dots, hyphens or underscores between them."""
        kwargs["validate"] = validate.Regexp(_USERNAME, error="Letters and digits, with single . - _ between them.")
        super().__init__(min_length=3, max_length=40, **kwargs)


class Password(Text):
    """A password as it is to be stored; any characters."""

    def __init__(self, **kwargs: Any) -> None:
        """Take 12 to 128 characters; the service refuses what is guessed first."""
        super().__init__(min_length=MIN_CHARACTERS, max_length=MAX_CHARACTERS, **kwargs)


class NewUserSchema(StrictSchema):
    """Somebody who is to have an account."""

    type = Text(
        required=True,
        validate=validate.OneOf(_TYPES),
        metadata={"description": "What they are to the library; it can't be changed later.", "example": "reader"},
    )
    role = Text(
        validate=validate.OneOf(_ROLES),
        load_default=None,
        metadata={"description": "What staff may do; required for staff, left out for everybody else."},
    )
    name = Text(max_length=200, required=True, metadata={"description": "As people say it.", "example": "Anna Smith"})
    email = Email(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "For sign-in and mail; no two in a tenant have the same.",
            "example": "anna.smith@example.org",
        },
    )
    username = Username(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "For sign-in without an e-mail address; students get one where none is given.",
            "example": None,
        },
    )
    password = Password(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "12 to 128 characters, none of those that are guessed first. Without one, people sign in by "
            "magic link or by an issuer of ID tokens.",
            "example": "otters swim at dawn",
        },
    )
    reading_ability = Text(
        validate=validate.OneOf(_ABILITIES),
        metadata={"description": "How well a reader or student reads.", "example": "transitional"},
    )
    min_age = WholeNumber(
        minimum=0,
        maximum=_OLDEST,
        metadata={"description": "Books for this age in years and up suit a reader or student.", "example": 8},
    )
    max_age = WholeNumber(
        minimum=0,
        maximum=_OLDEST,
        metadata={"description": "Books for up to this age in years suit a reader or student.", "example": 11},
    )


class UserChangesSchema(StrictSchema):
    """What may be changed of somebody; what is absent stays as it is."""

    role = Text(validate=validate.OneOf(_STAFF_ROLES), metadata={"description": "What staff may do from now on."})
    name = Text(max_length=200, metadata={"description": "As people say it.", "example": "Anna Jones"})
    email = Email(
        allow_none=True,
        metadata={"description": "For sign-in and mail; null: none.", "example": "anna.jones@example.org"},
    )
    username = Username(
        allow_none=True, metadata={"description": "For sign-in; null: none, but for students.", "example": "anna.jones"}
    )
    password = Password(
        allow_none=True,
        metadata={
            "description": "12 to 128 characters; null: none. It ends all sessions.",
            "example": "seals sleep at noon",
        },
    )
    current_password = Text(
        max_length=MAX_CHARACTERS,
        metadata={
            "description": "The present password; people need it to change their own.",
            "example": "otters swim at dawn",
        },
    )
    is_active = Flag(metadata={"description": "False keeps them out until it is true again.", "example": True})
    reading_ability = Text(
        validate=validate.OneOf(_ABILITIES),
        allow_none=True,
        metadata={"description": "How well a reader or student reads; null: unknown."},
    )
    min_age = WholeNumber(
        minimum=0,
        maximum=_OLDEST,
        allow_none=True,
        metadata={
            "description": "Books for this age in years and up suit a reader or student; null: unknown.",
            "example": 9,
        },
    )
    max_age = WholeNumber(
        minimum=0,
        maximum=_OLDEST,
        allow_none=True,
        metadata={
            "description": "Books for up to this age in years suit a reader or student; null: unknown.",
            "example": 12,
        },
    )


class UserSchema(StrictSchema):
    """A person with an account."""

    id = fields.UUID(required=True)
    type = fields.String(
        required=True,
        validate=validate.OneOf(_TYPES),
        metadata={"description": "What they are to the library.", "example": "reader"},
    )
    role = fields.String(
        required=True,
        validate=validate.OneOf(_ROLES),
        metadata={"description": "What they are allowed by.", "example": Role.READER.value},
    )
    name = fields.String(required=True, metadata={"description": "As people say it.", "example": "Anna Smith"})
    email = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "In full for the person and for those who manage users; masked for everybody else.",
            "example": "a***@example.org",
        },
    )
    username = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What they may sign in by instead of an e-mail address.", "example": None},
    )
    is_active = fields.Boolean(required=True, metadata={"description": "False: they are kept out.", "example": True})
    reading_ability = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([*_ABILITIES, None]),
        metadata={"description": "How well a reader or student reads; null: unknown.", "example": "transitional"},
    )
    min_age = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Books for this age in years and up suit them; null: unknown.", "example": 8},
    )
    max_age = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Books for up to this age in years suit them; null: unknown.", "example": 11},
    )
    last_login_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When they last signed in; null: never.", "example": "2026-02-01T08:15:00Z"},
    )
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class UserListArguments(ListArguments):
    """Filters and order of the list of users."""

    type = Text(validate=validate.OneOf(_TYPES), metadata={"description": "Only this type.", "example": "reader"})
    role = Text(validate=validate.OneOf(_ROLES), metadata={"description": "Only this role.", "example": "reader"})
    group_id = fields.UUID(metadata={"description": "Only members of this group."})
    q = Text(
        max_length=254,
        metadata={
            "description": "An e-mail address, whole, or the beginning of a name or of a later part of it; case and "
            "accents do not matter. Of a name, 12 characters are compared.",
            "example": "smi",
        },
    )
    sort = Text(validate=validate.OneOf(USERS.sort_names), load_default=USERS.default_sort)


UserListSchema = list_of(UserSchema)


# — groups —————————————————————————————————————————————————————————————————————————————————————————


class NewGroupSchema(StrictSchema):
    """A group to be made."""

    name = Text(max_length=200, required=True, metadata={"description": "As people say it.", "example": "Class 3b"})
    description = Text(
        max_length=2000,
        lines=True,
        load_default=None,
        allow_none=True,
        metadata={"description": "What it is for.", "example": "Reading hour on Tuesdays"},
    )
    owner_id = fields.UUID(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Whose group it is, one of the staff; null or absent: whoever makes it, if one of "
            "them. Educators name nobody else.",
            "example": None,
        },
    )


class GroupChangesSchema(StrictSchema):
    """What may be changed of a group; what is absent stays as it is."""

    name = Text(max_length=200, metadata={"description": "As people say it.", "example": "Class 4b"})
    description = Text(
        max_length=2000,
        lines=True,
        allow_none=True,
        metadata={"description": "What it is for; null: nothing is said.", "example": "Reading hour on Mondays"},
    )
    owner_id = fields.UUID(
        allow_none=True,
        metadata={"description": "Whose group it is, one of the staff; null: nobody's. For administrators."},
    )


class GroupSchema(StrictSchema):
    """A group of readers."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, metadata={"description": "As people say it.", "example": "Class 3b"})
    description = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What it is for.", "example": "Reading hour on Tuesdays"},
    )
    owner_id = fields.UUID(
        required=True,
        allow_none=True,
        metadata={"description": "The member of staff whose group it is; null: nobody's."},
    )
    member_count = fields.Integer(required=True, metadata={"description": "How many are in it.", "example": 1})
    join_code_expires_at = Moment(
        required=True,
        allow_none=True,
        metadata={
            "description": "Until when its join code counts; null: it has none.",
            "example": "2026-02-15T08:15:00Z",
        },
    )
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class GroupMemberSchema(UserSchema):
    """A person in a group; more is told by asking for the person."""

    class Meta(StrictSchema.Meta):
        """Of all that is known of a person, this."""

        fields = ("id", "type", "name", "username")


class GroupWithMembersSchema(GroupSchema):
    """A group with all who are in it."""

    members = fields.List(
        fields.Nested(GroupMemberSchema),
        required=True,
        metadata={"description": "The first to join first; a group has at most 1000."},
    )


class GroupListArguments(ListArguments):
    """Filters and order of the list of groups."""

    owner_id = fields.UUID(metadata={"description": "Only those of this member of staff."})
    sort = Text(validate=validate.OneOf(GROUPS.sort_names), load_default=GROUPS.default_sort)


GroupListSchema = list_of(GroupSchema)


class JoinCodeSchema(StrictSchema):
    """A code by which students join a group, shown this once."""

    join_code = fields.String(
        required=True,
        metadata={"description": "To be written on the board; hyphen and case do not matter.", "example": "KQ7M-4XPC"},
    )
    expires_at = Moment(
        required=True, metadata={"description": "Until when it counts.", "example": "2026-02-15T08:15:00Z"}
    )


# — privacy ————————————————————————————————————————————————————————————————————————————————————————


class UserExportSchema(StrictSchema):
    """Everything that is held on a person."""

    user = fields.Nested(UserSchema, required=True)
    account = fields.Dict(
        required=True,
        metadata={
            "description": "How they can sign in: `has_password`, `email_verified_at`, `sessions_valid_from` (those "
            "begun before count no more), `joined_group_id`.",
            "example": {
                "has_password": True,
                "email_verified_at": "2026-02-01T08:15:00Z",
                "sessions_valid_from": None,
                "joined_group_id": None,
            },
        },
    )
    groups = fields.List(
        fields.Dict(),
        required=True,
        metadata={"description": "The groups they are in or own.", "example": []},
    )
    guardians = fields.List(
        fields.Dict(),
        required=True,
        metadata={"description": "Who looks after whom, where they are one of both.", "example": []},
    )
    collections = fields.List(
        fields.Dict(), required=True, metadata={"description": "The collections that are their own.", "example": []}
    )
    collection_items = fields.List(
        fields.Dict(), required=True, metadata={"description": "What is in these.", "example": []}
    )
    loans = fields.List(
        fields.Dict(), required=True, metadata={"description": "What they have borrowed.", "example": []}
    )
    holds = fields.List(
        fields.Dict(), required=True, metadata={"description": "What they wait for, or have waited for.", "example": []}
    )
    sessions = fields.List(
        fields.Dict(), required=True, metadata={"description": "Where they are signed in.", "example": []}
    )
    magic_links = fields.List(
        fields.Dict(), required=True, metadata={"description": "The mails to sign in by, of a week.", "example": []}
    )
    events = fields.List(
        fields.Dict(),
        required=True,
        metadata={"description": "What the audit trail says of them, or they have done.", "example": []},
    )


class ErasureSchema(StrictSchema):
    """What was removed of a person."""

    erased = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={
            "description": "How many rows of each table were removed, or name the person no more, such as the groups "
            "of an educator. No table was found to hold anything of the person afterwards.",
            "example": {"readers": 1, "user_name_prefixes": 14, "user_sessions": 2, "users": 1},
        },
    )
