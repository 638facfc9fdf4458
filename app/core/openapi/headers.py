"""The headers of answers, each described once."""

from __future__ import annotations

from typing import Any


def _header(description: str, example: str | int, *, required: bool = True, **schema: Any) -> dict[str, Any]:
    kind = "integer" if isinstance(example, int) else "string"
    return {"description": description, "required": required, "schema": {"type": kind, **schema}, "example": example}


HEADERS: dict[str, Any] = {
    "X-Request-ID": _header(
        "Names this request in every log: quote it when you report something. Your own is kept if you send one of 8 to"
        " 128 letters, digits, dots, hyphens and underscores.",
        "7c1d9be04f6a4e0f8a2b3c4d5e6f7081",
        pattern="^[A-Za-z0-9._-]{8,128}$",
    ),
    "ETag": _header(
        "Stands for this state. Send it as `If-None-Match` to be spared an unchanged answer, or as `If-Match` to change"
        " the object only if nobody else has.",
        '"5f3c9a7e1b2d4c6f8a0b1c2d"',
        pattern='^(W/)?"[^"]+"$',
    ),
    "Location": _header("Where to go on.", "/api/v1/tenants/demo/books", format="uri-reference"),
    "RateLimit": _header(
        "The tightest limit that covers this call: `r` calls are left, and `t` seconds from now there are more.",
        '"api";r=59;t=60',
        pattern='^"[a-z_]+";r=[0-9]+;t=[0-9]+$',
    ),
    "RateLimit-Policy": _header(
        "Every limit that covers this call: `q` calls in any `w` seconds.",
        '"api";q=60;w=60, "catalogue_read";q=1000;w=3600',
        pattern='^"[a-z_]+";q=[0-9]+;w=[0-9]+(, "[a-z_]+";q=[0-9]+;w=[0-9]+)*$',
    ),
    "X-RateLimit-Limit": _header("The calls that the tightest limit allows.", 60, minimum=1),
    "X-RateLimit-Remaining": _header("The calls that are left of it.", 59, minimum=0),
    "X-RateLimit-Reset": _header("When there are more, in seconds since 1970.", 1769851860),
    "Retry-After": _header("After how many whole seconds a repetition can succeed.", 12, minimum=1),
    "Idempotent-Replayed": _header(
        "Present where the answer is the first one's, repeated for the same `Idempotency-Key`.",
        "true",
        required=False,
        enum=["true"],
    ),
    "WWW-Authenticate": _header("Which credential is wanted (RFC 9110).", 'Bearer realm="library"'),
}
LIMIT_HEADERS = ("RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


# A refusal that may come before the limits are counted has them only where it came after.
_IF_COUNTED = "-if-counted"
HEADERS |= {name + _IF_COUNTED: {**HEADERS[name], "required": False} for name in LIMIT_HEADERS}


def limits_if_counted() -> dict[str, Any]:
    """References to the headers of limits, for an answer that may come without them."""
    return {name: {"$ref": f"#/components/headers/{name}{_IF_COUNTED}"} for name in LIMIT_HEADERS}


def referred(*names: str) -> dict[str, Any]:
    """References to these headers."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
