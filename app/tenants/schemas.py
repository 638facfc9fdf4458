"""What comes in and goes out for tenants."""

from __future__ import annotations

from marshmallow import fields, validate

from app.core.schemas import Flag, ListArguments, Moment, StrictSchema, Text, WholeNumber, list_of
from app.tenants.models import TenantKind, TenantStatus
from app.tenants.queries import TENANTS

_KINDS = [kind.value for kind in TenantKind]
_STATUSES = [status.value for status in TenantStatus]
# ISO 3166-1 alpha-2, officially assigned.
_COUNTRY_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ "
    "CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO "
    "FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE "
    "JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO "
    "MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW "
    "PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM "
    "TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
COUNTRY_CODES = _COUNTRY_CODES.split()
_SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*\Z"


class TenantSettingsSchema(StrictSchema):
    """A tenant's settings; in a change, null puts one back to its default."""

    public_submissions = Flag(
        allow_none=True,
        metadata={
            "description": "Whether anybody may hand in reading lists; default false.",
            "example": False,
        },
    )
    self_registration = Flag(
        allow_none=True,
        metadata={
            "description": "Whether strangers may make accounts of readers for themselves; default false.",
            "example": False,
        },
    )
    resync_interval_hours = WholeNumber(
        minimum=1,
        maximum=8760,
        allow_none=True,
        metadata={
            "description": "Hours between two runs of the tenant's queries at Open Library; default 6.",
            "example": 6,
        },
    )
    loan_days = WholeNumber(
        minimum=1,
        maximum=365,
        allow_none=True,
        metadata={"description": "Days that a loan lasts; default 14.", "example": 14},
    )
    max_renewals = WholeNumber(
        minimum=0,
        maximum=100,
        allow_none=True,
        metadata={"description": "How often a loan may be renewed; default 2.", "example": 2},
    )
    max_loans_per_reader = WholeNumber(
        minimum=1,
        maximum=1000,
        allow_none=True,
        metadata={
            "description": "How many loans a reader may have at once; default 20.",
            "example": 20,
        },
    )


class TenantLimitsSchema(StrictSchema):
    """A tenant's own limits; null means the service's default."""

    api_requests_per_minute = WholeNumber(
        minimum=1,
        maximum=10_000_000,
        allow_none=True,
        metadata={"description": "Calls of the whole tenant in any minute (policy `api`).", "example": 600},
    )
    ingestion_jobs_per_hour = WholeNumber(
        minimum=1,
        maximum=10_000_000,
        allow_none=True,
        metadata={"description": "Jobs in any hour (policy `ingestion`); each of a batch counts.", "example": 100},
    )


class NewTenantSchema(StrictSchema):
    """A tenant to be made."""

    name = Text(max_length=200, required=True, metadata={"example": "Riverside Town Library"})
    slug = Text(
        min_length=2,
        max_length=63,
        required=True,
        validate=validate.Regexp(_SLUG, error="Use lower-case letters, digits and single hyphens between them."),
        metadata={"description": "The short name in every address; unique, and never changes.", "example": "riverside"},
    )
    kind = Text(
        validate=validate.OneOf(_KINDS),
        load_default=TenantKind.LIBRARY.value,
        metadata={"description": "What sort of place it is; nothing else depends on it.", "example": "library"},
    )
    country_code = Text(
        validate=validate.OneOf(COUNTRY_CODES, error="Use two capital letters of ISO 3166-1 (alpha-2)."),
        load_default=None,
        metadata={"description": "ISO 3166-1 alpha-2; absent: unknown.", "example": "NL"},
    )
    official_identifier = Text(
        max_length=100,
        load_default=None,
        metadata={
            "description": "Its number in a register of its country, within which it is unique; absent: none.",
            "example": "NL-0800010000",
        },
    )
    lms_type = Text(
        max_length=100,
        load_default=None,
        metadata={"description": "The library management system it works with; absent: none.", "example": "koha"},
    )
    website = Text(
        max_length=500,
        validate=validate.URL(schemes={"http", "https"}),
        load_default=None,
        metadata={
            "description": "Its own address; absent: none.",
            "example": "https://library.example.org",
            "format": "uri",
        },
    )
    settings = fields.Nested(TenantSettingsSchema, load_default=dict)


class TenantChangesSchema(StrictSchema):
    """What may be changed of a tenant; what is absent stays as it is."""

    name = Text(max_length=200, metadata={"example": "Riverside Library"})
    settings = fields.Nested(TenantSettingsSchema)
    limits = fields.Nested(TenantLimitsSchema)


class TenantSchema(StrictSchema):
    """A tenant."""

    id = fields.UUID(required=True)
    slug = fields.String(
        required=True,
        metadata={"description": "The short name in every address; never changes.", "example": "riverside"},
    )
    name = fields.String(required=True, metadata={"example": "Riverside Town Library"})
    kind = fields.String(
        required=True,
        validate=validate.OneOf(_KINDS),
        metadata={"description": "What sort of place it is; nothing else depends on it."},
    )
    status = fields.String(
        required=True,
        validate=validate.OneOf(_STATUSES),
        metadata={
            "description": "`suspended` once deleted: its credentials do not work, and it is purged after 30 days."
        },
    )
    country_code = fields.String(
        required=True, allow_none=True, metadata={"description": "ISO 3166-1 alpha-2; null: unknown.", "example": "NL"}
    )
    official_identifier = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Its number in a register of its country; null: none.", "example": "NL-0800010000"},
    )
    lms_type = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The library management system it works with; null: none.", "example": "koha"},
    )
    website = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Its own address; null: none.", "example": "https://library.example.org"},
    )
    settings = fields.Nested(TenantSettingsSchema, required=True)
    limits = fields.Nested(TenantLimitsSchema, required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class TenantListArguments(ListArguments):
    """Filters and order of the list of tenants."""

    kind = Text(validate=validate.OneOf(_KINDS), metadata={"description": "Only tenants of this kind."})
    status = Text(validate=validate.OneOf(_STATUSES), metadata={"description": "Only tenants in this state."})
    country_code = Text(
        max_length=2, metadata={"description": "Only those of this country (ISO 3166-1 alpha-2).", "example": "NL"}
    )
    official_identifier = Text(
        max_length=100, metadata={"description": "The one with this identifier.", "example": "NL-0800010000"}
    )
    q = Text(max_length=200, metadata={"description": "Part of the name or slug.", "example": "river"})
    sort = Text(validate=validate.OneOf(TENANTS.sort_names), load_default=TENANTS.default_sort)


TenantListSchema = list_of(TenantSchema)


class RateLimitSchema(StrictSchema):
    """The state of one limit for the caller."""

    policy = fields.String(
        required=True, metadata={"description": "The limit, by its name in `x-rate-limit-policies`.", "example": "api"}
    )
    limit = fields.Integer(
        required=True, metadata={"description": "Calls that are allowed in any `window_seconds`.", "example": 60}
    )
    remaining = fields.Integer(required=True, metadata={"description": "Calls that are left now.", "example": 59})
    used = fields.Integer(
        required=True, metadata={"description": "Calls that still count: `limit` less `remaining`.", "example": 1}
    )
    window_seconds = fields.Integer(
        required=True, metadata={"description": "The length of the sliding window.", "example": 60}
    )
    window_start = Moment(
        required=True,
        metadata={"description": "Calls before this time count no more.", "example": "2026-01-31T09:29:00Z"},
    )
    window_end = Moment(
        required=True, metadata={"description": "The moment of the answer.", "example": "2026-01-31T09:30:00Z"}
    )


class RateLimitsSchema(StrictSchema):
    """All limits that count the caller."""

    items = fields.List(
        fields.Nested(RateLimitSchema), required=True, metadata={"description": "One entry for each limit."}
    )
