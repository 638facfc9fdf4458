"""What a newcomer reads first."""

from __future__ import annotations

OVERVIEW = """\
Libraries, schools and persons keep their catalogues here, each apart from the others, and have them filled from
[Open Library](https://openlibrary.org). Everything of one library stands below `/api/v1/tenants/{slug}`.

## Begin

Every call but those marked as public takes a key: `Authorization: Bearer lib_…`, or `X-API-Key: lib_…`. An
administrator makes one with `POST /api/v1/tenants/{slug}/service-accounts` and `POST …/{account_id}/keys`; it is shown
once. `GET /api/v1/tenants/{slug}/auth/me` says what a key may do. What belongs to another tenant is not found (404);
what you may read but not change is forbidden (403).

## Bodies

JSON in UTF-8, with names in `snake_case`. Nothing is repaired and nothing ignored: an unknown field, or a value that
does not fit, is refused with 422, and `errors` says which and why. Ids are UUIDs, in lower case; times are RFC 3339 in
UTC, like `2026-01-31T09:30:00Z`, and need an offset when you send them. A text must not be blank or hold control
characters, among them those that turn the direction of writing; a description may have line ends and tabs. `PATCH` is
a JSON merge patch (RFC 7396): what is absent stays, `null` clears. A body has at most 16 MiB, but for lines
(`application/x-ndjson`), where they are taken: they have no limit. Ignored on purpose are only the body of a `GET`, and
queries of addresses outside `/api/v1`.

## Lists

A list answers `{"items": […], "total": 123, "total_relation": "eq", "next_cursor": "…"}`. Take the next page with
`cursor=<next_cursor>` and the same filters, until it is `null`; no page repeats or skips an item, whatever comes in
between. `limit` is 50, and 500 at most. `total` is exact up to 10 000; beyond that `total_relation` is `gte`. A filter
that takes several values has its parameter repeated: `subject=Poetry&subject=Drama`.

## Errors

Always `application/problem+json` (RFC 9457). Go by `code`, which never changes; `detail` is for people, `type` leads to
the explanation of the code, and `request_id` (also in the header `X-Request-ID`) is what to quote in a report. Each
operation below lists every code that it can give.

## Limits

`x-rate-limits` names the limits that a call counts against, and `x-rate-limit-policies` what they allow; a tenant may
have its own numbers. Every answer that was counted says in `RateLimit` what is left. Past a limit comes 429: wait
for the seconds in `Retry-After`. So does 503 tell when to come back.

## Safe repetition

Send a `POST` with an `Idempotency-Key` of your own, and repeat it with the same key whenever you don't know what came
of it: within 24 hours the same request gets the first answer again, with `Idempotent-Replayed: true`, and is done once.

## Spare the network, and each other

What you read carries an `ETag`, unless it tells of the moment (health, streams, redirects). Send it as `If-None-Match`,
and an unchanged answer is an empty 304. Where a `PATCH` or `DELETE` below takes `If-Match`, send it there, and you
never overwrite what somebody else has changed since: that is 412. Such a `PATCH` answers with the `ETag` for the next
one.
"""
